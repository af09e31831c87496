// What lies over the picture: boxes, labels, evidence.

// One colour a face: the Okabe-Ito palette stays distinct under every common colour-vision deficiency.
export const COLORS = ["#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2"];
const DARK = new Set(["#0072B2"]); // white is read better on it than black, unlike on the others
const FOR = [255, 150, 0];
const AGAINST = [20, 90, 255];
const STRONGEST = 170; // opacity of the strongest cell, of 255: the face must stay visible

export const color = (index) => COLORS[index % COLORS.length];

/**
 * Draws faces over a picture.
 * canvas: lies exactly over it; size: {width, height} of the picture in its own pixels;
 * faces: largest first, with box, expression, evidence, and as label the {name, share} to write;
 * mirrored: the picture is shown flipped; chosen: index of the face that stands out, or null.
 */
export function draw(canvas, size, faces, { evidence, mirrored, chosen }) {
  const place = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(place.width * ratio);
  canvas.height = Math.round(place.height * ratio);
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const scale = place.width / size.width;
  const across = (box) => (mirrored ? place.width - (box.x + box.width) * scale : box.x * scale);
  const boxes = faces.map(({ box }) => ({
    x: across(box), y: box.y * scale, width: box.width * scale, height: box.height * scale,
  }));
  const labels = layLabels(context, faces, boxes, place, chosen);
  const order = [...faces.keys()].reverse().sort((a, b) => (a === chosen) - (b === chosen)); // largest, then chosen on top
  if (evidence) for (const at of order) if (faces[at].evidence) drawEvidence(context, faces[at], scale, across, mirrored);
  for (const at of order) drawBox(context, boxes[at], color(at), at === chosen);
  for (const at of order) drawLabel(context, labels[at], color(at));
}

/**
 * Where each face's label stands, and what it says. It covers neither another label nor another face while there is
 * room: else it is the number alone, by which the card beside the picture is found. The chosen face's says all.
 */
function layLabels(context, faces, boxes, place, chosen) {
  const labels = [];
  const free = (label, at) => label.width <= place.width && [boxes, labels].every((taken) =>
    taken.every((other, index) => index === at || !overlap(label, other)));
  faces.forEach((_, at) => {
    const spots = spotsFor(context, () => `${at + 1}`, boxes[at], place, true);
    labels[at] = spots.find((spot) => free(spot, at)) ?? spots[0];
  });
  faces.forEach((face, at) => {
    const spots = spotsFor(context, (room) => inFull(context, at + 1, face.label, room), boxes[at], place);
    const spot = spots.find((one) => free(one, at)) ?? (at === chosen && spots[0].width <= place.width && spots[0]);
    if (spot) labels[at] = spot;
  });
  return labels;
}

const overlap = (a, b) =>
  a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

/** A label above its box or below, where the picture has room, else over the face; if need be anywhere about it. */
function spotsFor(context, write, box, place, anywhere = false) {
  const letters = Math.max(12, Math.min(17, box.width * 0.16));
  context.font = `600 ${letters}px system-ui, "Noto Sans CJK SC", sans-serif`;
  const text = write(place.width - letters);
  const [width, height] = [context.measureText(text).width + letters, letters * 1.6];
  const x = Math.max(0, Math.min(box.x, place.width - width));
  const corners = [[x, box.y - height - 4], [x, box.y + box.height + 4]];
  if (anywhere) corners.push([box.x + box.width + 4, box.y], [box.x - width - 4, box.y]);
  const spots = corners.filter(([left, top]) =>
    left >= 0 && left + width <= place.width && top >= 0 && top + height <= place.height);
  if (anywhere || spots.length === 0) spots.push([x, Math.max(0, Math.min(box.y + 4, place.height - height))]);
  return spots.map(([left, top]) => ({ x: left, y: top, width, height, text, font: context.font, padding: letters / 2 }));
}

/** Number, name and share; a name that has not enough room, in pixels, is cut: the share tells more than its end. */
function inFull(context, number, { name, share }, room) {
  const written = (some) => `${number}  ${some} ${share}`.trimEnd();
  const fits = (some) => context.measureText(written(some)).width <= room;
  if (fits(name)) return written(name);
  const characters = [...name];
  const first = (count) => `${characters.slice(0, count).join("").trimEnd()}…`;
  let [kept, cut] = [0, characters.length];
  while (cut - kept > 1) {
    const middle = Math.floor((kept + cut) / 2);
    if (fits(first(middle))) kept = middle;
    else cut = middle;
  }
  return written(first(kept));
}

function drawBox(context, { x, y, width, height }, stroke, chosen) {
  context.lineWidth = chosen ? 5 : 3;
  context.strokeStyle = stroke;
  context.beginPath();
  context.roundRect(x, y, width, height, 8);
  context.stroke();
}

function drawLabel(context, { x, y, width, height, text, font, padding }, ground) {
  context.fillStyle = ground;
  context.beginPath();
  context.roundRect(x, y, width, height, 6);
  context.fill();
  context.fillStyle = DARK.has(ground) ? "#ffffff" : "#101418";
  context.font = font;
  context.textBaseline = "middle";
  context.fillText(text, x + padding, y + height / 2 + 1);
}

function drawEvidence(context, face, scale, across, mirrored) {
  const { region } = face.evidence;
  const [x, y, width, height] = [across(region), region.y * scale, region.width * scale, region.height * scale];
  context.save();
  if (mirrored) {
    context.translate(x + width, y);
    context.scale(-1, 1);
    layEvidence(context, face, 0, 0, width, height);
  } else {
    layEvidence(context, face, x, y, width, height);
  }
  context.restore();
}

/** What the model saw of a face, with the evidence over it. */
export function drawSeen(canvas, picture, face, evidence) {
  const context = canvas.getContext("2d");
  const region = face.evidence?.region ?? face.box;
  const scale = picture.element ? picture.element.width / picture.size.width : 1;
  const inside = [region.x, region.y, region.width, region.height].map((value) => value * scale);
  context.clearRect(0, 0, canvas.width, canvas.height);
  if (picture.element) context.drawImage(picture.element, ...inside, 0, 0, canvas.width, canvas.height);
  if (evidence && face.evidence) layEvidence(context, face, 0, 0, canvas.width, canvas.height);
}

/** Evidence beyond the mean of all expressions, relative to the strongest cell, smoothly enlarged. */
function layEvidence(context, face, x, y, width, height) {
  const { cells } = face.evidence;
  const all = Object.values(cells);
  const grid = all[0].length;
  const beyond = cells[face.shown ?? face.expression].map((row, u) =>
    row.map((value, v) => value - all.reduce((sum, one) => sum + one[u][v], 0) / all.length)).flat();
  const strongest = Math.max(...beyond.map(Math.abs), 1e-12);
  const small = new OffscreenCanvas(grid, grid);
  const pixels = new ImageData(grid, grid);
  beyond.forEach((value, index) => {
    const tone = value > 0 ? FOR : AGAINST;
    pixels.data.set([...tone, Math.round((Math.abs(value) / strongest) * STRONGEST)], 4 * index);
  });
  small.getContext("2d").putImageData(pixels, 0, 0);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(small, x, y, width, height);
}
