// Shows a game of rocks that the server played in advance. A person can move a second paddle on
// the same rocks. Gradio's globals: element, props, trigger, watch.
const COLOURS = ["#181a26", "#ffb054", "#6cd6ff"], CAUGHT = "#78e082", MISSED = "#f05460";
let timer, held = 1, pressed = 1;

const find = (selector) => element.querySelector(selector);
const keys = { ArrowLeft: 0, ArrowRight: 2 };

function visible() {
  return element.offsetParent !== null;
}

function draw(canvas, size, rocks, paddle, halfWidth, colour) {
  canvas.width = canvas.height = size;
  const context = canvas.getContext("2d");
  context.fillStyle = COLOURS[0];
  context.fillRect(0, 0, size, size);
  context.fillStyle = COLOURS[1];
  for (const [row, column] of rocks) context.fillRect(column, row, 1, 1);
  context.fillStyle = colour;
  context.fillRect(paddle - halfWidth, size - 1, 2 * halfWidth + 1, 1);
}

// Converts a screen to rocks, [[row, column], ...], and the column of the paddle's centre.
function read(screen, size) {
  const rocks = [], covered = [];
  [...screen].forEach((pixel, at) => {
    if (pixel === "1") rocks.push([Math.floor(at / size), at % size]);
    if (pixel === "2") covered.push(at % size);
  });
  return { rocks, paddle: covered[(covered.length - 1) / 2] };
}

function begin() {
  clearInterval(timer);
  const game = props.value;
  find(".rocks").style.visibility = game ? "" : "hidden";
  if (!game) return;
  const { size, halfWidth, human } = game;
  const frames = game.screens.map((screen) => read(screen, size));
  const tally = { you: [0, 0], agent: [0, 0] }; // caught, landed
  let step = 0, paddle = frames[0].paddle, moves = "";
  held = pressed = 1;
  find(".you").style.display = human ? "" : "none";
  find(".help").textContent = human ? "Move with the arrow keys, or press the left or right half of your board." : "";

  function landed(who, rocks, at) {
    let colour = COLOURS[2];
    for (const [row, column] of rocks) {
      if (row !== size - 2) continue;
      const caught = Math.abs(column - at) <= halfWidth;
      tally[who][0] += caught;
      tally[who][1] += 1;
      colour = caught ? CAUGHT : MISSED;
    }
    return colour;
  }

  function show(colours) {
    const { rocks } = frames[step];
    draw(find(".agent canvas"), size, rocks, frames[step].paddle, halfWidth, colours.agent);
    find(".agent figcaption").textContent = `agent: ${tally.agent[0]} of ${tally.agent[1]}`;
    if (human) {
      draw(find(".you canvas"), size, rocks, paddle, halfWidth, colours.you);
      find(".you figcaption").textContent = `you: ${tally.you[0]} of ${tally.you[1]}`;
    }
    const scores = game.scores[step], highest = Math.max(...scores), lowest = Math.min(...scores);
    element.querySelectorAll(".scores label").forEach((label, action) => {
      const value = scores[action];
      label.querySelector("meter").value = game.values ? (value - lowest) / (highest - lowest || 1) : value;
      label.querySelector("output").textContent = game.values ? value.toFixed(3) : `${Math.round(100 * value)} %`;
      label.classList.toggle("chosen", value === highest);
    });
  }

  function tick() {
    if (!visible()) return; // another tab is open: wait
    if (step === frames.length - 1) {
      clearInterval(timer);
      if (human) trigger("submit", { moves });
      else trigger("select", {});
      return;
    }
    const move = pressed !== 1 ? pressed : held;
    pressed = 1;
    moves += move;
    paddle = Math.min(size - 1 - halfWidth, Math.max(halfWidth, paddle + move - 1));
    const falling = frames[step].rocks;
    step += 1;
    show({ agent: landed("agent", falling, frames[step].paddle), you: landed("you", falling, paddle) });
  }

  show({ agent: COLOURS[2], you: COLOURS[2] });
  timer = setInterval(tick, 1000 / game.speed);
}

function playing(event) {
  const typing = event.target.closest && event.target.closest("input, textarea, select");
  return visible() && props.value && props.value.human && !typing;
}
document.addEventListener("keydown", (event) => {
  if (!(event.key in keys) || !playing(event)) return;
  event.preventDefault();
  held = pressed = keys[event.key];
});
document.addEventListener("keyup", (event) => {
  if (held === keys[event.key]) held = 1;
});
element.addEventListener("pointerdown", (event) => {
  const board = event.target.closest(".you canvas");
  if (!board) return;
  const box = board.getBoundingClientRect();
  held = pressed = event.clientX < box.left + box.width / 2 ? 0 : 2;
});
document.addEventListener("pointerup", () => { held = 1; });
watch("value", begin);
begin();
