// The list of faces beside the picture: expression, set, probability bars.

import { color, drawSeen } from "./drawing.js";
import { expressionName, percent, roundPercent, say } from "./words.js";

const SEEN = 240; // pixels of the picture of what the model saw, for sharp screens

function make(tag, options = {}, ...children) {
  const { className, text, ...attributes } = options;
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export const isUncertain = (face) => face.answer === "uncertain";

/** What a face shows, in a few words. */
export function inWords(face) {
  const values = { expression: expressionName(face.expression), share: percent(face.confidence) };
  return isUncertain(face) ? `${say("uncertain")} (${say("perhaps", values)})` : say("sure", values);
}

/** The card of one face, filled anew for each answer: what a person presses or has reached by Tab stays. */
export class Card {
  #number = make("span", { className: "number" });
  #answer = make("span");
  #share = make("span", { className: "sure" });
  #notes = make("div", { className: "notes" });
  #seen = make("canvas", { className: "seen", width: SEEN, height: SEEN, "aria-hidden": "true" });
  #bars = make("table", { className: "bars" });
  #rows = new Map(); // by expression
  #face;
  #choose;

  /**
   * index: of the face; choose(): called when the evidence for an expression is asked for, which is then the
   * face's `shown`; enter(), leave(): called when the pointer or the focus does.
   */
  constructor(index, { choose, enter, leave }) {
    this.number = index + 1;
    this.#choose = (name) => {
      this.#face.shown = name;
      choose();
    };
    this.element = make("li", { className: "face" },
      make("h3", {}, this.#number, this.#answer, this.#share),
      this.#notes,
      make("div", { className: "body" }, this.#seen, this.#bars));
    this.element.style.setProperty("--face", color(index));
    this.element.addEventListener("pointerenter", enter);
    this.element.addEventListener("pointerleave", leave);
    this.element.addEventListener("focusin", enter);
    this.element.addEventListener("focusout", leave);
  }

  /**
   * picture: the image or video it is in, with its size; live: whether the next answer comes by itself;
   * evidence: whether to show it; coverage: how often its set is to hold the truth, 0 to show none.
   */
  update(face, { picture, live, evidence, coverage }) {
    this.#face = face;
    const uncertain = isUncertain(face);
    setText(this.#number, say("face", { number: this.number }));
    setText(this.#answer, uncertain ? say("uncertain") : expressionName(face.expression));
    setText(this.#share, uncertain ? "" : percent(face.confidence));
    this.#notes.replaceChildren(
      ...(uncertain ? [make("p", { className: "note", text: inWordsPerhaps(face) })] : []),
      ...(coverage && face.prediction_set ? [setOf(face.prediction_set, coverage)] : []));
    drawSeen(this.#seen, picture, face, evidence);
    this.#updateBars(face, live);
  }

  #updateBars(face, live) {
    this.#bars.ariaLabel = say("bars-of", { number: this.number });
    const ranked = Object.entries(face.probabilities).sort((a, b) => b[1] - a[1]);
    const rows = ranked.map(([name, share], rank) => {
      if (!this.#rows.has(name)) this.#rows.set(name, makeRow(name, this.#choose));
      const row = this.#rows.get(name);
      setText(row.button, expressionName(name));
      row.button.ariaLabel = say("evidence-of", { expression: expressionName(name) });
      row.button.ariaPressed = (face.shown ?? face.expression) === name;
      row.bar.style.width = `${100 * share}%`;
      setText(row.share, percent(share));
      row.element.className = rank === 0 ? "first" : "";
      return row.element;
    });
    const inUse = live && this.element.matches(":hover, :active, :focus-within"); // then nothing may move away
    const same = rows.length === this.#bars.rows.length && rows.every((row, rank) => row === this.#bars.rows[rank]);
    if (!same && !inUse) this.#bars.replaceChildren(...rows);
  }
}

function makeRow(name, choose) {
  const button = make("button", { type: "button", "data-expression": name });
  button.addEventListener("click", () => choose(name));
  const bar = make("div", { className: "bar" });
  const share = make("td");
  const element = make("tr", {},
    make("th", { scope: "row" }, button),
    make("td", { "aria-hidden": "true" }, make("div", { className: "track" }, bar)),
    share);
  return { element, button, bar, share };
}

function inWordsPerhaps(face) {
  return say("perhaps", { expression: expressionName(face.expression), share: percent(face.confidence) });
}

function setOf(names, coverage) {
  const line = make("p", { className: "set" }, make("span", { text: say("set") }));
  line.append(...names.map((name) => make("b", { text: expressionName(name) })));
  line.append(make("span", { text: say("coverage", { share: roundPercent(coverage) }) }));
  return line;
}
