// What lies over the picture: boxes, labels, evidence.

// One colour a face: the Okabe-Ito palette stays distinct under every common colour-vision deficiency.
export const COLORS = ["#56B4E9", "#E69F00", "#009E73", "#F0E442", "#CC79A7", "#D55E00", "#0072B2"];
const LIGHT = new Set(["#56B4E9", "#E69F00", "#F0E442", "#CC79A7"]);
const FOR = [255, 150, 0];
const AGAINST = [20, 90, 255];
const STRONGEST = 170; // opacity of the strongest cell, of 255: the face must stay visible

export const color = (index) => COLORS[index % COLORS.length];

/**
 * Draws faces over a picture.
 * canvas: lies exactly over it; size: {width, height} of the picture in its own pixels;
 * faces: with box, expression, evidence, and the label to write; mirrored: the picture is shown flipped.
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
  const shown = faces.map((face, index) => ({ face, index })).reverse(); // largest last, on top
  if (evidence) for (const { face } of shown) if (face.evidence) drawEvidence(context, face, scale, across, mirrored);
  for (const { face, index } of shown) drawFace(context, face, index, scale, across, index === chosen, place);
}

function drawFace(context, face, index, scale, across, chosen, place) {
  const [x, y, width, height] = [across(face.box), face.box.y * scale, face.box.width * scale, face.box.height * scale];
  context.lineWidth = chosen ? 5 : 3;
  context.strokeStyle = color(index);
  context.beginPath();
  context.roundRect(x, y, width, height, 8);
  context.stroke();
  const letters = Math.max(12, Math.min(17, width * 0.16));
  context.font = `600 ${letters}px system-ui, "Noto Sans CJK SC", sans-serif`;
  const wide = context.measureText(face.label).width + letters;
  const high = letters * 1.6;
  const left = Math.max(0, Math.min(x, place.width - wide));
  const [above, below] = [y - high - 4, y + height + 4]; // inside, over the face, where there is no room
  const top = above >= 0 ? above : below + high <= place.height ? below : Math.max(0, y + 4);
  context.fillStyle = color(index);
  context.beginPath();
  context.roundRect(left, top, wide, high, 6);
  context.fill();
  context.fillStyle = LIGHT.has(color(index)) ? "#101418" : "#ffffff";
  context.textBaseline = "middle";
  context.fillText(face.label, left + letters / 2, top + high / 2 + 1);
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
