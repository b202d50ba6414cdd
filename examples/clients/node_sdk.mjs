// The official Node SDK, with a desk in place of a model. First `frontdesk serve`, then:
//     npm install && node node_sdk.mjs
// FRONTDESK_URL names another server, FRONTDESK_TOKEN a token, where the server asks for one.
import OpenAI from "openai";
import { ResponsesWS } from "openai/resources/responses/ws";

const baseURL = (process.env.FRONTDESK_URL ?? "http://127.0.0.1:8765") + "/v1";
const client = new OpenAI({ baseURL, apiKey: process.env.FRONTDESK_TOKEN ?? "none needed on loopback" });
const model = (await client.models.list()).data[0].id; // the desk; its agents follow

// A question, and the next one in the same conversation.
const first = await client.responses.create({ model, input: "hello" });
console.log("answer:", first.output_text);
const second = await client.responses.create({ model, input: "thanks", previous_response_id: first.id });
console.log("same conversation:", second.conversation.id === first.conversation.id);

// The events of an answer, as they come.
let said = "";
for await (const event of await client.responses.create({ model, input: "hello again", stream: true })) {
  if (event.type === "response.output_text.delta") said += event.delta;
}
console.log("streamed:", said);

// In the background: left, looked at, followed from the event where it was left.
const job = await client.responses.create({ model, input: "in the background", background: true, stream: true });
let id, seen;
for await (const event of job) {
  id ??= event.response?.id;
  seen = event.sequence_number;
  if (event.type === "response.in_progress") break; // this client goes away; the response goes on
}
let last;
for await (const event of await client.responses.retrieve(id, { stream: true, starting_after: seen })) last = event;
console.log("resumed:", last.type, (await client.responses.retrieve(id)).status);

// Cancelled: what has ended stays as it is.
const idle = await client.responses.create({ model, input: "to be cancelled", background: true });
console.log("cancelled:", ["cancelled", "completed"].includes((await client.responses.cancel(idle.id)).status));

// A conversation with a history of its own.
const conversation = await client.conversations.create({
  items: [{ type: "message", role: "user", content: "My name is Anna." }],
  metadata: { topic: "names" },
});
await client.responses.create({ model, input: "hello", conversation: conversation.id });
const items = [];
for await (const item of client.conversations.items.list(conversation.id, { order: "asc" })) items.push(item.type);
console.log("items:", items.length);

// Chat Completions: the dialog that is sent again names its conversation.
const messages = [{ role: "user", content: "hello" }];
const completion = await client.chat.completions.create({ model, messages });
messages.push(completion.choices[0].message, { role: "user", content: "and again" });
const again = await client.chat.completions.create({ model, messages });
console.log("chat:", again.conversation.id === completion.conversation.id);

// The WebSocket: one connection for everything.
const socket = new ResponsesWS(client);
socket.send({ type: "response.create", model, input: "over the socket" });
for await (const message of socket) {
  if (message.type === "error") throw new Error(JSON.stringify(message));
  if (message.type === "message" && message.message.type === "response.completed") {
    console.log("socket:", message.message.response.status);
    break;
  }
}
socket.close();

// What is wrong is said in words.
try {
  await client.responses.create({ model: "nobody", input: "hello" });
} catch (error) {
  console.log("refused:", error.status, error.code);
}
