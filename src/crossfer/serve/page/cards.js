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

export const isUncertain = (face) => face.answer === "uncertain";

/** What a face shows, in a few words. */
export function inWords(face) {
  const values = { expression: expressionName(face.expression), share: percent(face.confidence) };
  return isUncertain(face) ? `${say("uncertain")} (${say("perhaps", values)})` : say("sure", values);
}

/**
 * The card of one face. picture: the image or video it is in, with its size; evidence: whether to show it;
 * coverage: how often its set is to hold the truth, 0 to show none;
 * choose(name): called when the evidence for an expression is asked for.
 */
export function card(face, index, { picture, evidence, coverage, choose, enter, leave }) {
  const number = index + 1;
  const uncertain = isUncertain(face);
  const title = make("h3", {},
    make("span", { className: "number", text: say("face", { number }) }),
    make("span", { text: uncertain ? say("uncertain") : expressionName(face.expression) }),
    make("span", { className: "sure", text: uncertain ? "" : percent(face.confidence) }));
  const element = make("li", { className: "face" }, title);
  element.style.setProperty("--face", color(index));
  if (uncertain) element.append(make("p", { className: "note", text: inWordsPerhaps(face) }));
  if (coverage && face.prediction_set) element.append(setOf(face.prediction_set, coverage));
  const seen = make("canvas", { className: "seen", width: SEEN, height: SEEN, "aria-hidden": "true" });
  drawSeen(seen, picture, face, evidence);
  element.append(make("div", { className: "body" }, seen, bars(face, number, choose)));
  element.addEventListener("pointerenter", enter);
  element.addEventListener("pointerleave", leave);
  element.addEventListener("focusin", enter);
  element.addEventListener("focusout", leave);
  return element;
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

function bars(face, number, choose) {
  const table = make("table", { className: "bars", "aria-label": say("bars-of", { number }) });
  const ranked = Object.entries(face.probabilities).sort((a, b) => b[1] - a[1]);
  ranked.forEach(([name, share], rank) => {
    const pressed = (face.shown ?? face.expression) === name;
    const button = make("button", {
      type: "button", text: expressionName(name), "data-expression": name, "aria-pressed": pressed,
      "aria-label": say("evidence-of", { expression: expressionName(name) }),
    });
    button.addEventListener("click", () => choose(name));
    const bar = make("div", { className: "bar" });
    bar.style.width = `${100 * share}%`;
    table.append(make("tr", { className: rank === 0 ? "first" : "" },
      make("th", { scope: "row" }, button),
      make("td", { "aria-hidden": "true" }, make("div", { className: "track" }, bar)),
      make("td", { text: percent(share) })));
  });
  return table;
}
