"use strict";
// The page: what it remembers, what a person does, and what of the conversation goes where.

const $ = (id) => document.getElementById(id);

/** What this browser remembers of this desk; without storage (a private window) it remembers nothing. */
const memory = {
  key: `frontdesk:${new URL(".", document.baseURI).pathname}`,
  read() {
    try {
      return JSON.parse(localStorage.getItem(this.key)) ?? {};
    } catch {
      return {};
    }
  },
  write(changes) {
    try {
      localStorage.setItem(this.key, JSON.stringify({ ...this.read(), ...changes }));
    } catch {
      // the page works all the same
    }
  },
};

let left = memory.read(); // where the last visit ended
let said = left.said ?? {}; // input id -> text: the log does not hold what people say
let decided = new Set(left.decided ?? []);
let unread = 0;
let name = "Frontdesk";

const wire = new Wire(heard, changed);
const view = new View($("log"), {
  approve(id, yes) {
    decided.add(id);
    memory.write({ decided: [...decided] });
    wire.say([{ type: "mcp_approval_response", approval_request_id: id, approve: yes }]);
  },
  isDecided: (id) => decided.has(id),
});
const tasks = new Tasks($("tasks-list"), {
  cancel: (id) => wire.send({ type: "frontdesk:cancel", task_id: id }),
  answer: (id, text) => wire.send({ type: "frontdesk:answer", task_id: id, answer: text }),
  async retry(id) {
    try {
      const reply = await wire.ask(`v1/tasks/${id}/retry`, { method: "POST" });
      if (!reply.ok) problem((await reply.json()).error.message);
    } catch {
      problem("The server cannot be reached; try again in a moment.");
    }
  },
});

// --- what is heard

function heard(event) {
  const kind = event.type;
  if (kind === "response.created") created(event.response);
  else if (kind === "response.output_item.added") view.begun(event);
  else if (kind === "response.output_text.delta") view.grow(event);
  else if (kind === "response.output_text.done") view.whole(event);
  else if (kind === "response.output_item.done") view.done(event);
  else if (TERMINAL.has(kind)) ended(event);
  else if (kind.startsWith("frontdesk:task.")) task(kind, event);
  else if (kind === "frontdesk:agent.changed") view.note(`${event.to} takes over`);
  else if (kind === "frontdesk:accepted") view.queued(event.input_id, event.position);
  else if (kind === "frontdesk:gap") view.note("What was said before this is not kept any more.");
  else if (kind === "frontdesk:draining") state("connecting", "The server is stopping; what runs goes on…");
  else if (kind === "error") refused(event);
  remember(event);
  $("stop").hidden = wire.running.size === 0;
}

function created(response) {
  const inputId = response.metadata?.["frontdesk:input_id"];
  if (said[inputId]) view.said(inputId, said[inputId]);
  const { section, hasInput, trigger } = view.created(response);
  if (trigger) {
    const labels = trigger.split(",").map((id) => tasks.tasks.get(id)?.label ?? "a task");
    section.before(make("p", { class: "note" }, `News of ${labels.join(", ")}`));
  } else if (!hasInput) {
    saidElsewhere(response.id, section);
  }
}

/** What somebody said from another program, as far as the server tells it. */
async function saidElsewhere(responseId, section) {
  try {
    const reply = await wire.ask(`v1/responses/${responseId}/input_items?order=asc`);
    if (!reply.ok) return;
    for (const item of (await reply.json()).data.filter((one) => one.role === "user")) {
      const parts = typeof item.content === "string" ? [{ text: item.content }] : item.content;
      const text = parts.map((part) => part.text ?? "").join("");
      if (text) section.before(make("article", { class: "said", "aria-label": "Said" }, make("p", { dir: "auto" }, text)));
    }
  } catch {
    // it is shown without
  }
}

function ended(event) {
  const { text, problem: why } = view.ended(event);
  if (!isNew(event)) return;
  view.announce(why?.bad ? why.text : text);
  if (document.hidden) {
    unread += 1;
    document.title = `(${unread}) ${name}`;
  }
}

function task(kind, event) {
  const known = tasks.show(event.task);
  if (kind.endsWith(".created") && isNew(event)) view.announce(`${event.task.label} ${event.task.title || event.task.name}: filed`);
  if (event.task.question && !known?.question && isNew(event)) {
    view.announce(`${event.task.label} asks: ${event.task.question}`);
    showTasks(true);
  }
}

function refused(event) {
  const { code, message } = event.error;
  if (code === "conversation_not_found") {
    begin(null);
    problem("That conversation is not there any more. A new one begins.");
  } else if (event.input_id) {
    view.refused(event.input_id, message);
  } else {
    problem(message);
  }
}

const isNew = (event) => Number(event.cursor) > (left.cursor ?? 0) || wire.conversation !== left.conversation;
let divided = false;

function remember(event) {
  if (!event.cursor) return;
  if (!divided && left.cursor && wire.conversation === left.conversation && Number(event.cursor) > left.cursor) {
    divided = true;
    if (event.type === "response.created" && event.type !== "frontdesk:subscribed") {
      view.responses.get(event.response.id)?.before(make("p", { class: "note divider" }, "New since you left"));
    }
  }
  if (event.type === "frontdesk:subscribed") return;
  const cursor = Math.max(Number(event.cursor), wire.conversation === left.conversation ? left.cursor ?? 0 : 0);
  if (!event.type.endsWith(".delta")) memory.write({ conversation: wire.conversation, cursor });
}

// --- how the connection is

function state(kind, words) {
  $("state").dataset.state = kind;
  if ($("state").textContent !== words) $("state").textContent = words;
}

function changed(kind, why) {
  if (kind === "connected") {
    state("connected", "Connected");
    problem("");
    introduce();
  } else if (kind === "refused") {
    state("refused", "Not connected");
    if (why.status === 401) askToken(wire.token ? "This token is not valid, or not any more." : "");
    else problem(why.message);
  } else {
    state("connecting", "Connecting…");
    if (why) problem(`${why.message} Trying again; nothing that you said is lost.`);
  }
}

async function introduce() {
  try {
    const [desk] = (await (await wire.ask("v1/models")).json()).data;
    name = desk.id === "desk" ? "Frontdesk" : desk.id;
    $("desk").textContent = name;
    if (!unread) document.title = name;
    if (!wire.conversation) return;
    const found = await wire.ask(`v1/tasks?limit=100&conversation=${encodeURIComponent(wire.conversation)}`);
    if (found.ok) for (const one of (await found.json()).data.reverse()) if (!tasks.tasks.has(one.id)) tasks.show(one);
  } catch {
    // the connection says what is wrong
  }
}

function problem(words) {
  $("problem").textContent = words;
  $("problem").hidden = !words;
}

// --- what a person does

function begin(conversation) {
  wire.forget(conversation);
  view.clear();
  tasks.clear();
  problem("");
  $("stop").hidden = true;
  if (!conversation) {
    left = {};
    said = {};
    decided = new Set();
    divided = false;
    memory.write({ conversation: null, cursor: 0, said, decided: [] });
  }
  wire.reconnect();
}

function send() {
  const text = $("said").value.trim();
  if (!text) return;
  const inputId = wire.say(text);
  said[inputId] = text;
  memory.write({ said });
  view.said(inputId, text, { waiting: true });
  $("said").value = "";
  fit();
  problem("");
}

function stop() {
  const running = [...wire.running].pop();
  if (running) wire.send({ type: "frontdesk:cancel", response_id: running });
}

function fit() {
  const box = $("said");
  box.style.height = "auto";
  box.style.height = `${Math.min(box.scrollHeight + 2, innerHeight * 0.4)}px`;
}

function showTasks(shown) {
  document.body.classList.toggle("shows-tasks", shown);
  $("tasks-toggle").setAttribute("aria-expanded", String(shown));
}

$("form").onsubmit = (event) => {
  event.preventDefault();
  send();
};
$("said").oninput = fit;
$("said").onkeydown = (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing && event.keyCode !== 229) {
    event.preventDefault();
    send();
  } else if (event.key === "Escape" && !event.isComposing) {
    stop();
  }
};
$("stop").onclick = stop;
$("new").onclick = () => {
  begin(null);
  $("said").focus();
};
$("tasks-toggle").onclick = () => showTasks(!document.body.classList.contains("shows-tasks"));
$("down").onclick = () => {
  view.log.scrollTop = view.log.scrollHeight;
};
view.log.onscroll = () => {
  if (view.isAtEnd) $("down").hidden = true;
};
document.onvisibilitychange = () => {
  if (document.hidden) return;
  unread = 0;
  document.title = name;
  if (!wire.socket) wire.connect();
};
addEventListener("online", () => {
  if (!wire.socket) wire.connect();
});

// --- token

function askToken(why) {
  $("token-why").textContent = why || "This desk lets in who has a token. It is sent to this server only.";
  if (!$("token").open) $("token").showModal();
  $("token-text").focus();
}

$("token-open").onclick = () => askToken("");
$("token-cancel").onclick = () => $("token").close();
$("token-form").onsubmit = () => {
  wire.token = $("token-text").value.trim();
  $("token-text").value = "";
  const keep = $("token-keep").checked;
  memory.write({ token: keep ? wire.token : "" });
  try {
    sessionStorage.setItem(memory.key, wire.token);
  } catch {
    // it is asked for again
  }
  problem("");
  wire.reconnect();
};

// --- light and dark

const THEMES = { "": ["◐", "as the system"], light: ["☀", "light"], dark: ["☾", "dark"] };

function theme(chosen) {
  if (chosen) document.documentElement.dataset.theme = chosen;
  else delete document.documentElement.dataset.theme;
  const [sign, words] = THEMES[chosen];
  $("theme").textContent = sign;
  $("theme").setAttribute("aria-label", `Theme: ${words}`);
  $("theme").title = `Theme: ${words}`;
}

$("theme").onclick = () => {
  const names = Object.keys(THEMES);
  const next = names[(names.indexOf(document.documentElement.dataset.theme ?? "") + 1) % names.length];
  theme(next);
  memory.write({ theme: next });
};

theme(left.theme in THEMES ? left.theme : "");
try {
  wire.token = sessionStorage.getItem(memory.key) || left.token || "";
} catch {
  wire.token = left.token || "";
}
wire.forget(left.conversation ?? null);
wire.connect();
