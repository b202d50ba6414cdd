"use strict";
// The client of the WebSocket: it sends again what is not known to be accepted, resumes after its cursor, drops repeats.
// Nothing here knows of the page; what it hears it hands to `heard`, how the connection is to `changed`.

const TERMINAL = new Set(["response.completed", "response.failed", "response.incomplete"]);

class Wire {
  constructor(heard, changed) {
    this.heard = heard;
    this.changed = changed;
    this.token = "";
    this.delay = 300;
    this.forget(null);
  }

  /** Goes on with this conversation from its beginning, or begins a new one. */
  forget(conversation) {
    this.conversation = conversation;
    this.cursor = 0;
    this.ahead = new Set(); // cursors after `cursor` that were seen: one's own answer may be ahead of a replay
    this.following = false;
    this.inputs = new Map(); // by id: said, and not known to be accepted
    this.answers = new Map(); // input id -> response that has not ended
    this.running = new Set(); // responses that have begun and not ended
    this.outbox = [];
  }

  address(path) {
    return new URL(path, document.baseURI);
  }

  async ask(path, options = {}) {
    const headers = this.token ? { authorization: `Bearer ${this.token}` } : {};
    return fetch(this.address(path), { ...options, headers });
  }

  connect() {
    clearTimeout(this.timer);
    this.following = false;
    const url = this.address("v1/responses");
    url.protocol = url.protocol.replace("http", "ws");
    if (this.conversation) {
      url.searchParams.set("conversation", this.conversation);
      url.searchParams.set("after", String(this.cursor));
    }
    let socket;
    try {
      socket = new WebSocket(url, this.token ? [`openai-insecure-api-key.${this.token}`] : []);
    } catch {
      this.changed("refused", { status: 401, message: "This token has characters that no token has." });
      return;
    }
    this.socket = socket;
    let opened = false;
    socket.onopen = () => {
      if (this.socket !== socket) return;
      opened = true;
      this.delay = 300;
      this.changed("connected");
      this.sent = new Set();
      this.flush();
    };
    socket.onmessage = (message) => {
      if (this.socket === socket) this.take(JSON.parse(message.data));
    };
    socket.onclose = (closed) => {
      if (this.socket === socket) this.lost(opened, closed);
    };
  }

  /** Closes this connection and makes another. */
  reconnect() {
    const old = this.socket;
    this.socket = null;
    if (old) old.close(1000);
    this.connect();
  }

  async lost(opened, closed) {
    this.socket = null;
    if (closed.code === 1008) {
      this.changed("refused", { status: 400, message: `The server has closed the connection: ${closed.reason}` });
      return;
    }
    const why = opened ? null : await this.reason();
    if (this.socket) return;
    if (why && (why.status === 401 || why.status === 403)) {
      this.changed("refused", why);
      return;
    }
    this.changed("lost", why);
    this.timer = setTimeout(() => this.connect(), this.delay * (0.75 + Math.random() / 2));
    this.delay = Math.min(this.delay * 2, 5000);
  }

  /** Why the server does not let us in: a WebSocket does not say it, so it is asked over HTTP. */
  async reason() {
    try {
      const reply = await this.ask("v1/models");
      if (reply.ok) return null;
      const body = await reply.json().catch(() => ({}));
      return { status: reply.status, message: body.error?.message ?? reply.statusText };
    } catch {
      return { status: 0, message: "The server cannot be reached." };
    }
  }

  // --- what goes out

  say(input) {
    const id = `in_${crypto.getRandomValues(new Uint32Array(3)).join("")}`;
    const message = { type: "response.create", input, metadata: { "frontdesk:input_id": id } };
    this.inputs.set(id, message);
    this.flush();
    return id;
  }

  send(message) {
    this.outbox.push(JSON.stringify(message));
    this.flush();
  }

  flush() {
    if (this.socket?.readyState !== WebSocket.OPEN) return;
    for (const [id, message] of this.inputs) {
      if (!this.sent.has(id)) {
        if (this.conversation) message.conversation = this.conversation;
        this.sent.add(id);
        this.socket.send(JSON.stringify(message));
      }
      if (!this.conversation) break; // the others wait until it has a name
    }
    while (this.outbox.length) this.socket.send(this.outbox.shift());
  }

  // --- what comes in

  take(event) {
    const durable = "cursor" in event && event.type !== "frontdesk:subscribed";
    if (durable && this.seen(event.conversation, Number(event.cursor))) return;
    this.note(event);
    this.heard(event);
    if (durable && this.following && !this.inputs.size && !this.answers.size) {
      this.cursor = Math.max(this.cursor, Number(event.cursor));
      for (const one of this.ahead) if (one <= this.cursor) this.ahead.delete(one);
    }
  }

  seen(conversation, cursor) {
    if (!this.conversation) {
      this.conversation = conversation;
      this.cursor = cursor - 1;
      this.send({ type: "frontdesk:subscribe", conversation, after: String(this.cursor) });
    }
    if (conversation !== this.conversation || cursor <= this.cursor || this.ahead.has(cursor)) return true;
    this.ahead.add(cursor);
    return false;
  }

  note(event) {
    if (event.type === "response.created") {
      const id = event.response.metadata?.["frontdesk:input_id"];
      if (this.inputs.delete(id)) this.answers.set(id, event.response.id);
      this.running.add(event.response.id);
    } else if (TERMINAL.has(event.type)) {
      this.running.delete(event.response.id);
      for (const [id, response] of this.answers) if (response === event.response.id) this.answers.delete(id);
    } else if (event.type === "frontdesk:accepted" && this.inputs.delete(event.input_id)) {
      this.answers.set(event.input_id, event.response_id);
    } else if (event.type === "frontdesk:subscribed") {
      this.following = true;
    } else if (event.type === "error") {
      this.inputs.delete(event.input_id);
    }
    this.flush();
  }
}
