"use strict";
// The conversation as it is shown: one section for each response, one element for each item of it.

class View {
  constructor(log, actions) {
    this.log = log;
    this.actions = actions; // approve(id, yes)
    this.announcer = document.getElementById("announce");
    this.hello = document.getElementById("hello");
    this.due = new Set(); // messages whose text has grown
    this.clear();
  }

  clear() {
    this.responses = new Map();
    this.items = new Map();
    this.bubbles = new Map(); // by input id
    this.agents = new Map();
    this.log.replaceChildren(this.hello);
    this.hello.hidden = false;
  }

  add(element, before = null) {
    this.hello.hidden = true;
    this.keepingPlace(() => this.log.insertBefore(element, before));
    return element;
  }

  /** Goes on showing the end when the end was shown. */
  keepingPlace(change) {
    const atEnd = this.isAtEnd;
    change();
    if (atEnd) this.log.scrollTop = this.log.scrollHeight;
    else document.getElementById("down").hidden = false;
  }

  get isAtEnd() {
    return this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 80;
  }

  // --- people

  said(inputId, text, { waiting = false } = {}) {
    const known = this.bubbles.get(inputId);
    if (known) return known;
    const bubble = make("article", { class: "said", "aria-label": "You" }, make("p", { dir: "auto" }, text));
    if (waiting) bubble.dataset.waiting = "";
    this.bubbles.set(inputId, bubble);
    this.add(bubble);
    if (waiting) this.log.scrollTop = this.log.scrollHeight;
    return bubble;
  }

  queued(inputId, position) {
    const bubble = this.bubbles.get(inputId);
    if (bubble) bubble.dataset.waiting = position > 1 ? `${position - 1} before it` : "next";
  }

  refused(inputId, message) {
    const bubble = this.bubbles.get(inputId);
    if (!bubble) return;
    delete bubble.dataset.waiting;
    bubble.append(make("p", { class: "problem", role: "alert" }, `Not accepted: ${message}`));
  }

  // --- responses

  created(response) {
    const inputId = response.metadata?.["frontdesk:input_id"];
    const bubble = this.bubbles.get(inputId);
    if (bubble) {
      delete bubble.dataset.waiting;
      this.keepingPlace(() => this.log.append(bubble));
    }
    const section = make("section", { class: "response", "aria-label": "Answer", "aria-busy": "true" });
    section.dataset.id = response.id;
    section.append(make("p", { class: "thinking", "aria-hidden": "true" }, make("i"), make("i"), make("i")));
    this.responses.set(response.id, section);
    this.add(section);
    return { section, hasInput: Boolean(bubble), trigger: response.metadata?.["frontdesk:trigger"] };
  }

  section(responseId) {
    let found = this.responses.get(responseId);
    if (!found) {
      found = make("section", { class: "response", "aria-label": "Answer" }); // its beginning is not kept
      this.responses.set(responseId, found);
      this.add(found);
    }
    return found;
  }

  place(responseId, element) {
    const section = this.section(responseId);
    this.keepingPlace(() => section.insertBefore(element, section.querySelector(":scope > .thinking")));
    return element;
  }

  begun(event) {
    this.agents.set(event.item.id, event.item.agent?.agent_name ?? "");
    if (event.item.type === "mcp_call") this.call(event.response_id, event.item);
  }

  message(responseId, itemId) {
    let found = this.items.get(itemId);
    if (!found) {
      const agent = this.agents.get(itemId) || "desk";
      const text = make("div", { class: "text" });
      const element = make("article", { class: "message", "aria-label": agent }, make("h3", { class: "who" }, agent), text);
      found = { element, text, said: "" };
      this.items.set(itemId, found);
      this.place(responseId, element);
    }
    return found;
  }

  grow(event) {
    const found = this.message(event.response_id, event.item_id);
    found.said += event.delta;
    this.draw(found);
  }

  whole(event) {
    const found = this.message(event.response_id, event.item_id);
    if (found.said !== event.text) {
      found.said = event.text;
      this.draw(found);
    }
  }

  draw(message) {
    if (!this.due.size) {
      const draw = () => {
        const due = [...this.due];
        this.due.clear();
        this.keepingPlace(() => due.forEach((one) => one.text.replaceChildren(...blocks(one.said))));
      };
      if (document.hidden) setTimeout(draw, 50); // no frames are drawn there
      else requestAnimationFrame(draw);
    }
    this.due.add(message);
  }

  call(responseId, item) {
    if (item.server_label === "handoff") return;
    let found = this.items.get(item.id);
    if (!found) {
      found = { element: make("details", { class: "call" }) };
      this.items.set(item.id, found);
      this.place(responseId, found.element);
    }
    const failed = Boolean(item.error);
    const over = failed || item.status === "completed" || item.output != null;
    found.element.dataset.state = failed ? "failed" : over ? "done" : "running";
    const parts = [
      make("summary", {}, make("span", { class: "mark", "aria-hidden": "true" }), make("b", {}, item.name), " ",
        make("span", { class: "brief", dir: "auto" }, brief(item.arguments || ""))),
      make("pre", { tabindex: "0" }, pretty(item.arguments || "")),
    ];
    if (failed) parts.push(make("pre", { class: "problem", tabindex: "0" }, item.error.content?.[0]?.text ?? pretty(item.error)));
    else if (item.output != null) parts.push(make("pre", { tabindex: "0" }, pretty(item.output)));
    found.element.replaceChildren(...parts);
    found.element.setAttribute("aria-label", `${item.name}: ${found.element.dataset.state}`);
  }

  done(event) {
    const item = event.item;
    if (item.type === "message") {
      const text = item.content.map((part) => part.text ?? part.refusal ?? "").join("");
      this.agents.set(item.id, item.agent?.agent_name ?? "");
      this.whole({ response_id: event.response_id, item_id: item.id, text });
      if (item.status === "incomplete") this.message(event.response_id, item.id).element.classList.add("cut");
    } else if (item.type === "mcp_call") {
      this.call(event.response_id, item);
      if (item.approval_request_id) this.decided(item.approval_request_id);
    } else if (item.type === "mcp_approval_request") {
      this.approval(event.response_id, item);
    } else if (item.type === "function_call") {
      this.place(event.response_id, make("p", { class: "note" }, `${item.name} is to be run by the client that asked.`));
    }
  }

  approval(responseId, item) {
    const card = make("article", { class: "card", "aria-label": "Approval" });
    const decide = (yes) => () => {
      this.actions.approve(item.id, yes);
      this.decided(item.id, yes ? "You have allowed it." : "You have refused it.");
    };
    card.append(
      make("h3", {}, "May it do this?"),
      make("p", {}, make("b", {}, item.name)),
      make("pre", { tabindex: "0" }, pretty(item.arguments || "{}")),
      make("menu", {},
        make("button", { type: "button", class: "quiet", onclick: decide(false) }, "Refuse"),
        make("button", { type: "button", onclick: decide(true) }, "Allow")),
    );
    this.items.set(item.id, { element: card });
    this.place(responseId, card);
    if (this.actions.isDecided(item.id)) this.decided(item.id);
  }

  decided(itemId, words = "This was decided.") {
    const menu = this.items.get(itemId)?.element.querySelector("menu");
    if (menu) menu.replaceWith(make("p", { class: "note" }, words));
  }

  ended(event) {
    const response = event.response;
    const section = this.section(response.id);
    section.removeAttribute("aria-busy");
    section.querySelector(":scope > .thinking")?.remove();
    const problem = this.problem(response);
    if (problem) this.place(response.id, make("p", { class: problem.bad ? "problem" : "note" }, problem.text));
    const text = response.output.filter((item) => item.type === "message")
      .flatMap((item) => item.content.map((part) => part.text ?? "")).join(" ");
    if (!section.childElementCount) section.remove();
    return { text, problem };
  }

  problem(response) {
    const limit = response.metadata?.["frontdesk:limit"];
    if (response.status === "failed") return { bad: true, text: response.error?.message ?? "It failed." };
    if (response.status === "cancelled") return { bad: false, text: "Stopped." };
    if (response.status !== "incomplete") return null;
    if (response.incomplete_details?.reason === "steered") return { bad: false, text: "It goes on with what was said meanwhile." };
    return { bad: true, text: limit ? `It stopped at a limit: ${limit}.` : "It did not come to its end." };
  }

  note(text, className = "note") {
    return this.add(make("p", { class: className }, text));
  }

  announce(text) {
    this.announcer.textContent = text;
  }
}
