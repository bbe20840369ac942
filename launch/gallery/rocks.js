// Shows a game of rocks that the server has played out, and lets a person move a
// second paddle on the same rocks. Globals of Gradio's: element, props, trigger, watch.
const COLOURS = ["#181a26", "#ffb054", "#6cd6ff"], CAUGHT = "#78e082", MISSED = "#f05460";
let timer, held = 1, pressed = 1;

const find = (selector) => element.querySelector(selector);
const keys = { ArrowLeft: 0, ArrowRight: 2 };

function visible() {
  return element.offsetParent !== null;
}

function draw(canvas, size, rocks, paddle, reach, colour) {
  canvas.width = canvas.height = size;
  const context = canvas.getContext("2d");
  context.fillStyle = COLOURS[0];
  context.fillRect(0, 0, size, size);
  context.fillStyle = COLOURS[1];
  for (const [row, column] of rocks) context.fillRect(column, row, 1, 1);
  context.fillStyle = colour;
  context.fillRect(paddle - reach, size - 1, 2 * reach + 1, 1);
}

// A screen as [[row, column] of each rock], and where the middle of the paddle is.
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
  const { size, reach, human } = game;
  const frames = game.screens.map((screen) => read(screen, size));
  const score = { you: [0, 0], agent: [0, 0] }; // caught, landed
  let step = 0, paddle = frames[0].paddle, moves = "";
  held = pressed = 1;
  find(".you").style.display = human ? "" : "none";
  find(".says").textContent = human ? "Move with the arrow keys, or press on your board's left or right." : "";

  function landed(who, rocks, at) {
    let colour = COLOURS[2];
    for (const [row, column] of rocks) {
      if (row !== size - 2) continue;
      const caught = Math.abs(column - at) <= reach;
      score[who][0] += caught;
      score[who][1] += 1;
      colour = caught ? CAUGHT : MISSED;
    }
    return colour;
  }

  function show(colours) {
    const { rocks } = frames[step];
    draw(find(".agent canvas"), size, rocks, frames[step].paddle, reach, colours.agent);
    find(".agent figcaption").textContent = `agent: ${score.agent[0]} of ${score.agent[1]}`;
    if (human) {
      draw(find(".you canvas"), size, rocks, paddle, reach, colours.you);
      find(".you figcaption").textContent = `you: ${score.you[0]} of ${score.you[1]}`;
    }
    const thoughts = game.thoughts[step], most = Math.max(...thoughts), least = Math.min(...thoughts);
    element.querySelectorAll(".thoughts label").forEach((label, action) => {
      const thought = thoughts[action];
      label.querySelector("meter").value = game.values ? (thought - least) / (most - least || 1) : thought;
      label.querySelector("output").textContent = game.values ? thought.toFixed(3) : `${Math.round(100 * thought)} %`;
      label.classList.toggle("chosen", thought === most);
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
    paddle = Math.min(size - 1 - reach, Math.max(reach, paddle + move - 1));
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
