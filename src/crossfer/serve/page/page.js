// The page: takes in a photo or the webcam, asks the service, shows what it says.

import { Card, inWords, isUncertain } from "./cards.js";
import { draw } from "./drawing.js";
import { Problem, Stream, models, recognize, setToken, streamProblem } from "./service.js";
import { dataName, expressionName, percent, roundPercent, say, splitName, switchLanguage, writeWords } from "./words.js";

const FRAME_SIDE = 640; // longer side of a webcam frame: as much as the detector looks at by default
const FRAME_QUALITY = 0.85;
const SMALLEST_PX = 720; // width that small pictures are enlarged to, where there is room
const SPOKEN_MS = 2500; // how often the webcam's result is read out at most

const NARROW = matchMedia("(max-width: 820px)"); // as in style.css

const $ = (id) => document.getElementById(id);
const state = { file: null, answer: null, pixels: null, size: null, chosen: null, problem: null, model: null, stream: null, spoken: -Infinity };
const cards = []; // one a face
let asking = null;
let attempt = 0; // counts what was asked for, webcam or photo: a webcam that comes after a later one is not wanted

const wish = () => ({
  coverage: $("coverage").value,
  abstain: $("abstain").checked,
  evidence: state.stream ? $("evidence").checked : true,
});

// --- showing -------------------------------------------------------------------------------------------------

function showProblem(name, detail = "") {
  state.problem = name && { name, detail };
  const appears = name && $("alert").hidden;
  $("alert").hidden = !name;
  $("alert-text").textContent = name ? say(name) ?? (detail || say("internal")) : "";
  if (appears) $("alert").scrollIntoView({ block: "nearest" });
}

function showAnswer() {
  const faces = state.answer?.faces ?? [];
  for (const face of faces) {
    face.label = isUncertain(face)
      ? { name: say("uncertain"), share: "" }
      : { name: expressionName(face.expression), share: percent(face.confidence) };
  }
  $("key").hidden = !$("evidence").checked;
  showCards(faces);
  redraw();
  showStatus(faces);
}

function showStatus(faces) {
  const result = state.answer ? resultInWords(faces) : "";
  $("photo").alt = result;
  const nothing = state.problem || state.file || state.stream ? "" : say("nothing");
  const text = $("busy").hidden ? result || nothing : say("looking");
  const now = performance.now();
  if (state.stream && result && now - state.spoken < SPOKEN_MS) return;
  if (result) state.spoken = now;
  if ($("status").textContent !== text) $("status").textContent = text;
}

/** How many faces there are, and what the largest shows, as it is read out. */
function resultInWords(faces) {
  const parts = [];
  if (faces.length === 0) parts.push(say("none"));
  else parts.push(say(faces.length === 1 ? "one" : "many", { count: faces.length, first: inWords(faces[0]) }));
  const set = Number(state.answer.coverage) ? faces[0]?.prediction_set : null;
  if (set) parts.push(say("one-of", { names: set.map(expressionName).join(", ") }));
  if (state.answer.faces_left_out) parts.push(say("left", { count: state.answer.faces_left_out }));
  return parts.join(" ");
}

function showCards(faces) {
  while (cards.length > faces.length) cards.pop().element.remove();
  while (cards.length < faces.length) addCard(cards.length);
  if (state.chosen >= faces.length) state.chosen = null;
  faces.forEach((face, index) => cards[index].update(face, {
    picture: { element: state.pixels, size: state.size },
    live: Boolean(state.stream),
    evidence: $("evidence").checked,
    coverage: Number(state.answer.coverage),
  }));
}

function addCard(index) {
  const card = new Card(index, {
    choose: () => {
      $("evidence").checked = true;
      showAnswer();
    },
    enter: () => highlight(index),
    leave: () => highlight(null),
  });
  cards.push(card);
  $("faces").append(card.element);
}

function highlight(index) {
  state.chosen = index;
  cards.forEach((card, at) => card.element.classList.toggle("chosen", at === index));
  redraw();
}

function redraw() {
  if (!state.size) return;
  draw($("overlay"), state.size, state.answer?.faces ?? [], {
    evidence: $("evidence").checked, mirrored: Boolean(state.stream), chosen: state.chosen,
  });
}

/** Shows the picture as large as the window allows, small ones enlarged, always in its own proportions. */
function showStage(what) {
  if (what && state.size) {
    const { width, height } = state.size;
    $("frame").style.width = `min(100%, ${width / height} * var(--tallest), ${Math.max(width, SMALLEST_PX)}px)`;
  }
  const leaving = what && document.activeElement === $("invitation");
  $("invitation").hidden = Boolean(what);
  $("frame").hidden = !what;
  $("drop").classList.toggle("filled", Boolean(what));
  $("photo").hidden = what !== "photo";
  $("video").hidden = what !== "video";
  $("frame").classList.toggle("mirrored", what === "video");
  if (leaving) $("choose").focus({ preventScroll: true });
  if (what) $("drop").scrollIntoView({ block: NARROW.matches ? "start" : "nearest" });
}

/** Where there is one column, the faces come right under the picture: to eyes, keyboard and screen readers alike. */
function arrange() {
  const focused = document.activeElement;
  if (NARROW.matches) $("results").after($("controls"));
  else $("stage").append($("controls"));
  if ($("controls").contains(focused)) focused.focus({ preventScroll: true });
}

function showModel() {
  if (!state.model) return;
  const model = state.model.models[0];
  const measured = model.accuracy;
  const values = measured && {
    name: model.name,
    accuracy: `${(100 * measured.accuracy).toFixed(1)} %`,
    low: (100 * measured.interval[0]).toFixed(1),
    high: (100 * measured.interval[1]).toFixed(1),
    n: measured.n.toLocaleString("en"),
    data: dataName(measured.data),
    split: splitName(measured.split),
    protocol: measured.protocol ?? "",
  };
  $("model-line").textContent = say(measured ? "model" : "model-unknown", values ?? { name: model.name });
  const facts = [
    ["fact-name", model.name],
    ["fact-accuracy", measured ? say("accuracy-value", values) : "–"],
    ["fact-labels", model.labels.map(expressionName).join(", ")],
    ["fact-input", say("input-value", { size: model.input.size, color: say(model.input.color) })],
    ["fact-license", model.license ?? "–"],
    ["fact-sha", model.sha256],
  ];
  $("model-facts").replaceChildren(...facts.flatMap(([key, value]) => {
    const term = document.createElement("dt");
    const description = document.createElement("dd");
    term.textContent = say(key);
    description.textContent = value;
    return [term, description];
  }));
  $("abstain").disabled = model.abstains_below === null;
  $("coverage").disabled = !model.calibrated;
}

/** Chooses what the service gives by default, which need not be among the usual choices; null for no sets. */
function chooseCoverage(coverage) {
  const select = $("coverage");
  if (coverage && ![...select.options].some((option) => Number(option.value) === coverage)) {
    const above = [...select.options].find((option) => Number(option.value) > coverage);
    select.insertBefore(new Option(roundPercent(coverage), coverage), above ?? null);
  }
  select.value = coverage ?? "";
}

let meeting = null;

/** Learns once which model the service has and what it gives by default; tries again where that failed. */
function meet() {
  meeting ??= models().then((model) => {
    state.model = model;
    $("abstain").checked = model.defaults.abstain;
    chooseCoverage(model.defaults.coverage);
    showModel();
  }).catch((error) => {
    meeting = null;
    throw error;
  });
  return meeting;
}

// --- photos --------------------------------------------------------------------------------------------------

/** Whether the service may be able to read it: browsers name no type for suffixes they do not know, nor for folders. */
async function mayBeImage(file) {
  if (file.type) return file.type.startsWith("image/");
  return file.slice(0, 1).arrayBuffer().then(() => true, () => false); // a folder has no bytes to read
}

async function take(file) {
  if (!file) return;
  showProblem(null);
  if (!(await mayBeImage(file))) {
    showProblem("not-an-image");
    return;
  }
  attempt += 1;
  stopCamera();
  asking?.abort();
  state.file = file;
  state.answer = null;
  showAnswer();
  URL.revokeObjectURL($("photo").src);
  $("photo").src = URL.createObjectURL(file);
  // Null for what the browser cannot show, such as a TIFF or half a JPEG: the service says what it is.
  const pixels = await $("photo").decode().then(() => createImageBitmap($("photo"))).catch(() => null);
  if (state.file !== file) return; // the webcam was started, or another photo chosen, meanwhile
  state.size = pixels ? { width: $("photo").naturalWidth, height: $("photo").naturalHeight } : null;
  state.pixels = pixels;
  showStage(pixels ? "photo" : null);
  await ask();
}

async function ask() {
  if (!state.file) return;
  asking?.abort();
  const mine = (asking = new AbortController());
  showProblem(null);
  $("busy").hidden = false;
  showStatus(state.answer?.faces ?? []);
  try {
    await meet();
    const wanted = wish();
    const answer = await recognize(state.file, wanted, mine.signal);
    state.answer = { ...answer, coverage: wanted.coverage };
  } catch (error) {
    if (mine.signal.aborted) return;
    state.answer = null;
    await fail(error, ask);
  } finally {
    if (mine === asking) $("busy").hidden = true;
  }
  if (mine === asking) showAnswer();
}

/** Says what went wrong; where a token was missing, asks for it and tries again. */
async function fail(error, again) {
  if (!(error instanceof Problem)) throw error;
  if (error.name === "unauthorized") {
    askForToken(again);
  } else {
    showProblem(error.name, error.message);
  }
}

// --- the webcam ----------------------------------------------------------------------------------------------

let lastOver = Promise.resolve(); // comes when the last stream that was closed is over
let failing = false; // whether the last frame was refused

async function startCamera() {
  showProblem(null);
  if (!navigator.mediaDevices?.getUserMedia) {
    showProblem("no-camera");
    return;
  }
  const mine = (attempt += 1);
  let media;
  try {
    await meet();
    media = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 }, facingMode: "user" } });
    if (mine === attempt) {
      $("video").srcObject = media;
      await $("video").play();
    }
  } catch (error) {
    release(media);
    if (mine !== attempt) return;
    if (error instanceof Problem) await fail(error, startCamera);
    else showProblem(error.name === "NotAllowedError" ? "camera-denied" : "camera-missing");
    return;
  }
  if (mine !== attempt) {
    release(media);
    return;
  }
  media.getVideoTracks()[0].addEventListener("ended", loseCamera); // not told of where the page itself stops it
  asking?.abort();
  state.file = state.answer = null;
  $("busy").hidden = true;
  state.size = { width: $("video").videoWidth, height: $("video").videoHeight };
  state.spoken = -Infinity;
  showProblem(null);
  showStage("video");
  openStream();
  showAnswer();
  showCameraButton();
}

function openStream() {
  closeStream();
  if (failing) showProblem(null);
  failing = false;
  const answered = [];
  state.stream = true; // so that the wish is that of a stream
  const wanted = wish();
  state.stream = new Stream(wanted, {
    nextFrame: grab,
    onAnswer: (answer, delay) => {
      const kept = state.answer?.faces ?? [];
      answer.faces?.forEach((face, index) => { face.shown = kept[index]?.shown; });
      if (answer.error) showProblem(answer.error.type.split(":").pop(), answer.error.detail);
      else if (failing) showProblem(null);
      failing = Boolean(answer.error);
      state.answer = { ...inPicturePixels(answer), coverage: wanted.coverage };
      answered.push(performance.now());
      while (answered.length > 20) answered.shift();
      const seconds = (answered.at(-1) - answered[0]) / 1000;
      if (answered.length > 3) {
        $("rate").textContent = say("rate", { rate: ((answered.length - 1) / seconds).toFixed(1), delay: delay.toFixed(0) });
      }
      showAnswer();
    },
    onLost: async (opened) => {
      stopCamera();
      showAnswer();
      const problem = await streamProblem(); // a browser does not say why a stream was refused
      if (problem) await fail(problem, startCamera);
      else showProblem(opened ? "stream-lost" : "no-stream");
    },
  }, Promise.all([lastOver, visible()]));
}

/** Opens it anew, with what was chosen. */
function changeStream() {
  showProblem(null);
  openStream();
}

/** Comes when the page is to be seen. */
async function visible() {
  while (document.hidden) {
    await new Promise((resolve) => { document.addEventListener("visibilitychange", resolve, { once: true }); });
  }
}

function closeStream() {
  if (!state.stream) return;
  state.stream.close();
  lastOver = state.stream.over;
}

/** The frame was sent smaller than the picture is shown. */
function inPicturePixels(answer) {
  const scale = state.size.width / (answer.width ?? state.size.width);
  const grow = (box) => { for (const key of ["x", "y", "width", "height"]) box[key] *= scale; };
  for (const face of answer.faces) {
    grow(face.box);
    if (face.evidence) grow(face.evidence.region);
  }
  return answer;
}

async function grab() {
  const video = $("video");
  const scale = Math.min(1, FRAME_SIDE / Math.max(video.videoWidth, video.videoHeight));
  const canvas = new OffscreenCanvas(Math.round(video.videoWidth * scale), Math.round(video.videoHeight * scale));
  canvas.getContext("2d").drawImage(video, 0, 0, canvas.width, canvas.height);
  state.pixels = canvas; // the next frame is taken when this one has been answered and shown
  return canvas.convertToBlob({ type: "image/jpeg", quality: FRAME_QUALITY });
}

function stopCamera() {
  if (!state.stream) return;
  closeStream();
  state.stream = state.answer = state.pixels = state.size = null;
  release($("video").srcObject);
  $("rate").textContent = "";
  showStage(null);
  showCameraButton();
}

/** Says that the webcam was unplugged, or that its use was forbidden. */
function loseCamera() {
  stopCamera();
  showProblem("camera-missing");
  showAnswer();
}

/** Switches a webcam off. */
function release(media) {
  for (const track of media?.getTracks() ?? []) track.stop();
  if ($("video").srcObject === media) $("video").srcObject = null;
}

function showCameraButton() {
  const running = Boolean(state.stream);
  $("camera").ariaPressed = running;
  $("camera").dataset.text = running ? "camera-stop" : "camera";
  $("camera").textContent = say($("camera").dataset.text);
}

// --- the token -----------------------------------------------------------------------------------------------

const TOKEN = /^[\x21-\x7e]+$/; // what the service takes as one, and what a browser can send as a header

let afterToken = null; // what is tried again, while a token is asked for

function askForToken(again) {
  afterToken = again;
  const dialog = $("token-dialog");
  $("token-error").textContent = dialog.dataset.tried ? say("token-wrong") : "";
  if (!dialog.open) dialog.showModal();
  $("token").focus();
}

$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = $("token").value.trim();
  $("token").value = "";
  $("token-dialog").dataset.tried = "yes";
  if (!TOKEN.test(given)) {
    askForToken(afterToken);
    return;
  }
  const again = afterToken;
  afterToken = null;
  setToken(given);
  $("token-dialog").close();
  again();
});
$("token-dialog").addEventListener("close", () => {
  if (!afterToken) return; // a token was given
  afterToken = null;
  showProblem("unauthorized");
  showAnswer();
});

// --- events --------------------------------------------------------------------------------------------------

for (const id of ["invitation", "choose"]) $(id).addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  take($("file").files[0]);
  $("file").value = "";
});
$("camera").addEventListener("click", () => {
  if (state.stream) {
    stopCamera();
    showAnswer();
  } else {
    startCamera();
  }
});
$("dismiss").addEventListener("click", () => showProblem(null));
$("language").addEventListener("click", () => {
  switchLanguage();
  write();
});
for (const id of ["abstain", "coverage"]) {
  $(id).addEventListener("change", () => (state.stream ? changeStream() : ask()));
}
$("evidence").addEventListener("change", () => {
  if (state.stream) changeStream();
  showAnswer();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden && state.stream) openStream(); // gives the place free: the next one opens when the page is seen
});
document.addEventListener("paste", (event) => {
  const file = [...event.clipboardData.files][0];
  if (file) take(file);
});
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  $("drop").classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) $("drop").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  take(event.dataTransfer.files[0]);
});
document.addEventListener("click", (event) => {
  if (!$("model").contains(event.target)) $("model").open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && $("model").open) {
    $("model").open = false;
    $("model").querySelector("summary").focus();
  }
});
NARROW.addEventListener("change", arrange);
new ResizeObserver(redraw).observe($("frame"));

function write() {
  writeWords();
  showModel();
  if (state.problem) showProblem(state.problem.name, state.problem.detail);
  state.spoken = -Infinity;
  showAnswer();
}

async function start() {
  try {
    await meet();
  } catch (error) {
    await fail(error, start);
  }
  showAnswer();
}

arrange();
write();
start();
