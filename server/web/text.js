"use strict";
// What is said, as nodes: the little of Markdown that models write. Text becomes text: no markup of it is ever parsed.

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element[key] = value;
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value != null) element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

const INLINE = /(`+)(.+?)\1|\*\*(.+?)\*\*|\[([^\]\n]+)\]\((https?:\/\/[^\s)]+)\)|(https?:\/\/[^\s<>"')\]]*[^\s<>"')\].,;:!?])/g;

function inline(text) {
  const nodes = [];
  let last = 0;
  for (const found of text.matchAll(INLINE)) {
    nodes.push(text.slice(last, found.index));
    last = found.index + found[0].length;
    const [, ticks, code, strong, label, href, url] = found;
    if (ticks) nodes.push(make("code", {}, code));
    else if (strong) nodes.push(make("strong", {}, ...inline(strong)));
    else nodes.push(make("a", { href: href ?? url, rel: "noreferrer noopener", target: "_blank" }, label ?? url));
  }
  nodes.push(text.slice(last));
  return nodes.filter((one) => one !== "");
}

/** The blocks of a text: code, headings, lists, tables, paragraphs. Each has the direction of its own words. */
function blocks(text) {
  const found = [];
  const lines = text.replaceAll("\r\n", "\n").split("\n");
  let at = 0;
  const taken = (pattern) => {
    const some = [];
    while (at < lines.length && pattern.test(lines[at])) some.push(lines[at++]);
    return some;
  };
  while (at < lines.length) {
    const line = lines[at];
    const fence = line.match(/^\s*(```+|~~~+)/);
    const heading = line.match(/^#{1,6}\s+(.*)/);
    if (fence) {
      at += 1;
      const code = [];
      while (at < lines.length && !lines[at].trim().startsWith(fence[1])) code.push(lines[at++]);
      at += 1;
      found.push(make("pre", { tabindex: "0" }, make("code", { dir: "ltr" }, code.join("\n"))));
    } else if (heading) {
      at += 1;
      found.push(make("h3", { dir: "auto" }, ...inline(heading[1])));
    } else if (/^\s*[-*•]\s+/.test(line)) {
      const items = taken(/^\s*[-*•]\s+/).map((one) => one.replace(/^\s*[-*•]\s+/, ""));
      found.push(make("ul", { dir: "auto" }, ...items.map((one) => make("li", { dir: "auto" }, ...inline(one)))));
    } else if (/^\s*\d+[.)]\s+/.test(line)) {
      const start = line.match(/\d+/)[0];
      const items = taken(/^\s*\d+[.)]\s+/).map((one) => one.replace(/^\s*\d+[.)]\s+/, ""));
      found.push(make("ol", { dir: "auto", start }, ...items.map((one) => make("li", { dir: "auto" }, ...inline(one)))));
    } else if (/^\s*\|.*\|\s*$/.test(line)) {
      found.push(table(taken(/^\s*\|.*\|\s*$/)));
    } else if (!line.trim()) {
      at += 1;
    } else {
      const words = [];
      while (at < lines.length && lines[at].trim() && !/^\s*(```|~~~|[-*•]\s|\d+[.)]\s|#{1,6}\s|\|.*\|\s*$)/.test(lines[at])) {
        words.push(lines[at++]);
      }
      if (!words.length) words.push(lines[at++]);
      found.push(make("p", { dir: "auto" }, ...inline(words.join("\n"))));
    }
  }
  return found;
}

function table(lines) {
  const rows = lines.map((line) => line.trim().slice(1, -1).split("|").map((cell) => cell.trim()));
  const ruled = rows.length > 1 && rows[1].every((cell) => /^:?-+:?$/.test(cell));
  const cells = (row, name) => make("tr", {}, ...row.map((cell) => make(name, { dir: "auto" }, ...inline(cell))));
  const body = rows.slice(ruled ? 2 : 0).map((row) => cells(row, "td"));
  const parts = [make("tbody", {}, ...body)];
  if (ruled) parts.unshift(make("thead", {}, cells(rows[0], "th")));
  return make("div", { class: "scroll", tabindex: "0" }, make("table", {}, ...parts));
}

/** JSON for a person: short values in one line, long ones below each other. */
function pretty(text) {
  if (typeof text === "string") {
    try {
      const value = JSON.parse(text);
      return typeof value === "string" ? value : JSON.stringify(value, null, 2);
    } catch {
      return text;
    }
  }
  return JSON.stringify(text, null, 2);
}

function brief(text, most = 80) {
  let found = text;
  try {
    const value = JSON.parse(text);
    if (value && typeof value === "object" && !Array.isArray(value)) {
      const given = Object.entries(value).filter(([, one]) => one !== null);
      const short = (one) => (typeof one === "string" ? one : one?.name && one.arguments ? one.name : JSON.stringify(one));
      found = given.map(([name, one]) => `${name}: ${short(one)}`).join(", ");
    }
  } catch {
    // not JSON: as it is
  }
  return found.length > most ? `${found.slice(0, most - 1)}…` : found;
}
