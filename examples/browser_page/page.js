const element = (id) => document.getElementById(id);
const about = JSON.parse(element('about').textContent);
const {card, poses, board: {side: SIDE, pen: PEN}} = about;
const [, HEIGHT, WIDTH] = card.image_shape;

// ---- the network

/** The bytes that an element holds as base64 of gzip; the element is emptied. */
async function unpacked(id) {
  const bytes = Uint8Array.from(atob(element(id).textContent), (letter) => letter.charCodeAt(0));
  element(id).remove();
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

let ort, session;

async function load() {
  const module = new Blob([await unpacked('packed-runtime')], {type: 'text/javascript'});
  ort = await import(URL.createObjectURL(module));
  ort.env.wasm.numThreads = 1;  // more need headers of the server
  ort.env.wasm.wasmBinary = await unpacked('packed-wasm');
  session = await ort.InferenceSession.create(await unpacked('packed-network'), {executionProviders: ['wasm']});
}

// ---- preprocessing: attentive_gconv.models.image_transform

/** For every output sample of an antialiased bilinear resize: the first input sample, and the weights. */
function resizing(from, to) {
  const scale = from / to, support = Math.max(scale, 1);
  return Array.from({length: to}, (_, i) => {
    const centre = scale * (i + 0.5);
    const first = Math.max(0, Math.trunc(centre - support + 0.5));
    const last = Math.min(from, Math.trunc(centre + support + 0.5));
    const weights = Array.from({length: last - first},
      (_, j) => Math.max(0, 1 - Math.abs((first + j - centre + 0.5) / support)));
    const total = weights.reduce((a, b) => a + b, 0);
    return {first, weights: weights.map((weight) => weight / total)};
  });
}

const ACROSS = resizing(SIDE, WIDTH), DOWN = resizing(SIDE, HEIGHT);

/** The drawing as light strokes on a dark ground, in [0, 1], HEIGHT x WIDTH. */
function resized(image) {
  const rows = new Float64Array(SIDE * WIDTH), pixels = new Float64Array(HEIGHT * WIDTH);
  for (let y = 0; y < SIDE; y++)
    ACROSS.forEach(({first, weights}, x) => weights.forEach((weight, j) => {
      rows[y * WIDTH + x] += weight * (1 - image.data[4 * (y * SIDE + first + j)] / 255);
    }));
  DOWN.forEach(({first, weights}, y) => weights.forEach((weight, j) => {
    for (let x = 0; x < WIDTH; x++) pixels[y * WIDTH + x] += weight * rows[(first + j) * WIDTH + x];
  }));
  return pixels;
}

/** A square plane, a quarter turn further counter-clockwise. */
function quarterTurned(plane, side) {
  return plane.map((_, i) => plane[(i % side) * side + side - 1 - Math.floor(i / side)]);
}

/** The plane in its four quarter turns, standardised: a batch. */
function standardised(pixels) {
  const batch = new Float32Array(4 * pixels.length);
  for (let turn = 0; turn < 4; turn++, pixels = quarterTurned(pixels, WIDTH))
    batch.set(pixels.map((value) => (value - card.mean[0]) / card.std[0]), turn * pixels.length);
  return batch;
}

function softmax(logits) {
  const top = Math.max(...logits), powers = logits.map((value) => Math.exp(value - top));
  const total = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / total);
}

/** Probabilities of the drawing in each quarter turn; maps of the first, name to {poses, rows, columns, data}. */
async function run(pixels) {
  const images = new ort.Tensor('float32', standardised(pixels), [4, 1, HEIGHT, WIDTH]);
  const found = await session.run({images});
  const logits = Array.from(found.logits.data), classes = card.classes.length;
  const probabilities = [0, 1, 2, 3].map((turn) => softmax(logits.slice(turn * classes, (turn + 1) * classes)));
  const maps = {};
  for (const name of about.maps) {
    const [, order, rows, columns] = found[name].dims;
    maps[name] = {poses: order, rows, columns, data: Array.from(found[name].data.slice(0, order * rows * columns))};
  }
  return {probabilities, maps};
}

// ---- the drawing

const board = element('board'), sheet = document.createElement('canvas');
board.width = board.height = sheet.width = sheet.height = SIDE;
const pen = sheet.getContext('2d', {willReadFrequently: true}), shown = board.getContext('2d');
let strokes = [], stroke = null, angle = 0;

/** The strokes at the angle; whole quarter turns move pixels, the rest turns strokes. Counter-clockwise to the eye. */
function drawing() {
  const half = SIDE / 2;
  pen.setTransform(1, 0, 0, 1, 0, 0);
  pen.fillStyle = '#fff';
  pen.fillRect(0, 0, SIDE, SIDE);
  pen.translate(half, half);
  pen.rotate(-(angle % 90) * Math.PI / 180);
  pen.translate(-half, -half);
  pen.lineWidth = PEN;
  pen.lineCap = pen.lineJoin = 'round';
  pen.strokeStyle = '#000';
  for (const points of strokes) {
    pen.beginPath();
    pen.moveTo(...points[0]);
    for (const point of points) pen.lineTo(...point);
    pen.stroke();
  }
  let pixels = new Uint32Array(pen.getImageData(0, 0, SIDE, SIDE).data.buffer);
  for (let turns = Math.floor(angle / 90); turns > 0; turns--) pixels = quarterTurned(pixels, SIDE);
  return new ImageData(new Uint8ClampedArray(pixels.buffer), SIDE, SIDE);
}

const redraw = () => shown.putImageData(drawing(), 0, 0);

/** Where the pointer is on the drawing before it was turned. */
function place(event) {
  const box = board.getBoundingClientRect(), half = SIDE / 2, radians = angle * Math.PI / 180;
  const x = (event.clientX - box.left - board.clientLeft) * SIDE / board.clientWidth - half;
  const y = (event.clientY - box.top - board.clientTop) * SIDE / board.clientHeight - half;
  return [half + x * Math.cos(radians) - y * Math.sin(radians), half + x * Math.sin(radians) + y * Math.cos(radians)];
}

function turnTo(degrees) {
  angle = ((degrees % 360) + 360) % 360;
  element('angle').value = angle;
  element('degrees').textContent = `${angle}°`;
  redraw();
  look();
}

function show(drawn) {
  strokes = drawn;
  redraw();
  look();
}

// ---- what is shown

// stops of matplotlib's magma
const COLOURS = [[0, 0, 4], [59, 15, 112], [140, 41, 129], [222, 73, 104], [254, 159, 109], [252, 253, 191]];

function coloured(value) {
  const place = Math.min(Math.max(value, 0), 1) * (COLOURS.length - 1);
  const i = Math.min(Math.floor(place), COLOURS.length - 2);
  return COLOURS[i].map((from, c) => Math.round(from + (place - i) * (COLOURS[i + 1][c] - from)));
}

/** A figure of a plane; values from low to high become colours, or greys. */
function figure(plane, columns, [low, high], caption, colour = coloured) {
  const canvas = document.createElement('canvas'), range = high > low ? high - low : 1;
  canvas.width = columns;
  canvas.height = plane.length / columns;
  const image = new ImageData(canvas.width, canvas.height);
  plane.forEach((value, i) => image.data.set([...colour((value - low) / range), 255], 4 * i));
  canvas.getContext('2d').putImageData(image, 0, 0);
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', caption.textContent);
  const whole = document.createElement('figure');
  whole.append(canvas, caption);
  return whole;
}

function captioned(text, degrees) {
  const caption = document.createElement('figcaption');
  if (degrees !== undefined) {
    const arrow = document.createElement('span');
    arrow.className = 'arrow';
    arrow.textContent = '↑';
    arrow.style.transform = `rotate(${-degrees}deg)`;
    arrow.setAttribute('aria-hidden', 'true');
    caption.append(arrow, ' ');
  }
  caption.append(text);
  return caption;
}

/** The least and the largest value. */
const extent = (values) =>
  values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)], [Infinity, -Infinity]);
const grey = (value) => Array(3).fill(Math.round(255 * value));
const percent = (share) => `${(100 * share).toFixed(1)} %`;

function showMaps(pixels, maps) {
  const {poses: order, rows, columns, data} = maps[element('layer').value], size = rows * columns;
  const planes = Array.from({length: order}, (_, h) => data.slice(h * size, (h + 1) * size));
  const figures = [figure(Array.from(pixels), WIDTH, [0, 1], captioned('what it sees'), grey)];
  if (order === 1) {
    figures.push(figure(planes[0], columns, extent(planes[0]), captioned('all poses')));
  } else {
    const sum = planes[0].map((_, i) => planes.reduce((total, plane) => total + plane[i], 0));
    const total = sum.reduce((a, b) => a + b, 0) || 1, range = extent(data);
    figures.push(figure(sum, columns, extent(sum), captioned('sum over poses')));
    for (const {index, degrees, name} of poses) {
      const share = planes[index].reduce((a, b) => a + b, 0) / total;
      figures.push(figure(planes[index], columns, range, captioned(`${name}: ${Math.round(100 * share)} %`, degrees)));
    }
  }
  element('maps').replaceChildren(...figures);
}

function showAnswer({probabilities, milliseconds}) {
  const [first, ...turned] = probabilities, best = (shares) => shares.indexOf(Math.max(...shares));
  const order = first.map((_, i) => i).sort((a, b) => first[b] - first[a]);
  element('answer').textContent = `${card.classes[order[0]]} · ${percent(first[order[0]])}`;
  element('guesses').replaceChildren(...order.slice(0, 5).map((i) => {
    const row = document.createElement('tr'), head = document.createElement('th'), bar = document.createElement('div');
    head.scope = 'row';
    head.textContent = card.classes[i];
    row.append(head);
    const share = row.insertCell();
    share.className = 'share';
    share.textContent = percent(first[i]);
    bar.style.width = percent(first[i]).replace(' ', '');
    const cell = row.insertCell();
    cell.className = 'bar';
    cell.append(bar);
    return row;
  }));
  const difference = Math.max(...turned.flatMap((shares) => shares.map((share, i) => Math.abs(share - first[i]))));
  const same = turned.every((shares) => best(shares) === order[0]);
  const rounded = difference.toExponential(0).replace('-', '\u2011');
  element('poses-agree').textContent = `By 90°, 180° and 270° further: ${same ? 'the same class' : 'another class'}, ` +
    `probabilities differ by at most ${rounded}. All four took ${milliseconds.toFixed(0)} ms.`;
}

let asked = 0, running = false;
const busy = (state) => document.querySelector('main').setAttribute('aria-busy', state);

/** Run the network on the drawing as it is now; what is asked for meanwhile is answered at the end, once. */
async function look() {
  asked++;
  busy(true);
  if (running || !session) return;
  running = true;
  try {
    for (let answered = 0; answered !== asked;) {
      answered = asked;
      await answer();
    }
  } catch (error) {
    complain(error);
  } finally {
    running = false;
    busy(false);
  }
}

async function answer() {
  element('answer').className = strokes.length ? '' : 'message';
  element('save').href = board.toDataURL('image/png');
  if (!strokes.length) {
    element('answer').textContent = 'Draw something.';
    for (const id of ['guesses', 'poses-agree', 'maps']) element(id).replaceChildren();
    window.lastAnswer = null;
    return;
  }
  const pixels = resized(drawing()), begun = performance.now(), found = await run(pixels);
  // in full precision, for scripts
  window.lastAnswer = {...found, milliseconds: performance.now() - begun};
  showAnswer(window.lastAnswer);
  showMaps(pixels, found.maps);
}

function complain(error) {
  busy(false);
  element('answer').className = 'message';
  element('answer').textContent = `The network does not run in this browser: ${error.message ?? error}`;
  throw error;
}

// ---- events

board.addEventListener('pointerdown', (event) => {
  if (!event.isPrimary || event.button !== 0) return;
  event.preventDefault();
  board.setPointerCapture(event.pointerId);
  strokes.push(stroke = [place(event)]);
  redraw();
});
board.addEventListener('pointermove', (event) => {
  if (!stroke || !event.isPrimary) return;
  const events = event.getCoalescedEvents?.() ?? [];
  stroke.push(...(events.length ? events : [event]).map(place));
  redraw();
});
for (const end of ['pointerup', 'pointercancel'])
  board.addEventListener(end, (event) => {
    if (!stroke || !event.isPrimary) return;
    stroke = null;
    look();
  });
element('angle').addEventListener('input', (event) => turnTo(event.target.valueAsNumber));
element('left').addEventListener('click', () => turnTo(angle + 90));
element('right').addEventListener('click', () => turnTo(angle - 90));
element('clear').addEventListener('click', () => show([]));
element('layer').addEventListener('change', look);

// ---- start

for (const name of about.maps) element('layer').append(new Option(name === 'poses' ? 'all, multiplied' : name, name));
for (const [name, drawn] of Object.entries(about.examples)) {
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = name;
  button.setAttribute('aria-label', `Example ${name}`);
  button.addEventListener('click', () => show(drawn));
  element('examples').append(button);
}
element('examples').hidden = !Object.keys(about.examples).length;
element('legend').textContent = about.kind === 'attention'
  ? 'Light is what the attention keeps; arrows say in which pose.'
  : 'This network has no attention: light is where its layers respond; arrows say in which pose.';
element('network').textContent = `Network: ${card.model}, trained on ${card.dataset}` +
  `${about.license && `; licence ${about.license}`}; sha256 ${about.sha256.slice(0, 16)}….`;
strokes = Object.values(about.examples)[0] ?? [];
redraw();
load().then(look).catch(complain);
