"use strict";
// The tasks of the conversation: what they are doing, what they ask, and what one can do about them.

const OVER = new Set(["succeeded", "failed", "cancelled", "held"]);
const STATES = {
  queued: "waits for its turn", running: "is running", waiting: "waits", succeeded: "is done",
  failed: "has failed", cancelled: "was cancelled", held: "was given up",
};

class Tasks {
  constructor(list, actions) {
    this.list = list;
    this.actions = actions; // cancel(id), answer(id, text), retry(id)
    this.clear();
  }

  clear() {
    this.tasks = new Map();
    this.cards = new Map();
    this.list.replaceChildren();
    this.count();
  }

  show(task) {
    const known = this.tasks.get(task.id);
    this.tasks.set(task.id, task);
    const card = this.cards.get(task.id) ?? this.card(task);
    card.dataset.status = task.question ? "asks" : task.status;
    card.state.textContent = this.words(task);
    card.message.textContent = task.message ?? "";
    card.message.hidden = !task.message;
    card.bar.hidden = OVER.has(task.status) || (task.status !== "running" && task.progress == null);
    if (task.progress == null) card.bar.removeAttribute("value");
    else card.bar.value = task.progress;
    card.cancel.hidden = OVER.has(task.status);
    card.cancel.disabled = Boolean(task.cancel_requested);
    card.retry.hidden = !["failed", "cancelled", "held"].includes(task.status);
    this.ask(card, task);
    if (OVER.has(task.status) && !(known && OVER.has(known.status))) this.result(card, task);
    this.count();
    return known;
  }

  card(task) {
    const name = make("b", { dir: "auto" }, task.title || task.name);
    const state = make("span", { class: "task-state" });
    const bar = make("progress", { max: "1", "aria-label": `Progress of ${task.label}` });
    const message = make("p", { class: "task-message", dir: "auto" });
    const question = make("div");
    const outcome = make("div");
    const cancel = make("button", { type: "button", class: "quiet", onclick: () => {
      cancel.disabled = true;
      this.actions.cancel(task.id);
    } }, "Cancel");
    cancel.setAttribute("aria-label", `Cancel ${task.label}`);
    const retry = make("button", { type: "button", class: "quiet", onclick: () => this.actions.retry(task.id) }, "Try again");
    retry.setAttribute("aria-label", `Try ${task.label} again`);
    const card = make("li", { class: "task" },
      make("p", { class: "task-head" }, make("span", { class: "label" }, task.label), name), make("p", {}, state),
      bar, message, question, outcome, make("menu", {}, cancel, retry));
    Object.assign(card, { state, bar, message, question, outcome, cancel, retry });
    this.cards.set(task.id, card);
    this.list.prepend(card);
    return card;
  }

  words(task) {
    if (task.question) return "asks you";
    if (task.cancel_requested && !OVER.has(task.status)) return "is being cancelled";
    const percent = task.status === "running" && task.progress != null ? `, ${Math.round(task.progress * 100)} %` : "";
    return STATES[task.status] + percent;
  }

  ask(card, task) {
    const asked = OVER.has(task.status) ? null : task.question;
    if (card.asked === asked) return;
    card.asked = asked;
    if (!asked) {
      card.question.replaceChildren();
      return;
    }
    const input = make("input", { type: "text", dir: "auto", "aria-label": `Answer to ${task.label}`, required: true });
    const form = make("form", { class: "answer", onsubmit: (event) => {
      event.preventDefault();
      this.actions.answer(task.id, input.value.trim());
      form.querySelector("button").disabled = input.disabled = true;
    } }, input, make("button", { type: "submit" }, "Answer"));
    card.question.replaceChildren(make("p", { class: "question", dir: "auto" }, asked), form);
  }

  result(card, task) {
    const parts = [];
    if (task.error) parts.push(make("p", { class: "problem", dir: "auto" }, task.error));
    if (task.result != null) {
      const body = typeof task.result === "string" ? make("div", { class: "text" }, ...blocks(task.result))
        : make("pre", { tabindex: "0" }, pretty(task.result));
      parts.push(make("details", {}, make("summary", {}, "Result"), body));
    } else if (task.result_size) {
      parts.push(make("p", { class: "none" }, "The result is long: ask the desk about it."));
    }
    card.outcome.replaceChildren(...parts);
  }

  get live() {
    return [...this.tasks.values()].filter((task) => !OVER.has(task.status)).length;
  }

  count() {
    const badge = document.getElementById("tasks-live");
    badge.textContent = this.live || "";
    badge.hidden = !this.live;
    document.getElementById("tasks-none").hidden = this.tasks.size > 0;
    document.body.classList.toggle("has-tasks", this.tasks.size > 0);
  }
}
