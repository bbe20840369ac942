// A white sheet to draw on in black. The end of each stroke triggers 'input' with the picture.
// Gradio's globals: element, trigger.
const canvas = element.querySelector("canvas"), context = canvas.getContext("2d");
let drawing = false;

function clear() {
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
}

function line(event) {
  const box = canvas.getBoundingClientRect(), zoom = canvas.width / box.width;
  context.lineTo((event.clientX - box.left) * zoom, (event.clientY - box.top) * zoom);
  context.stroke();
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  drawing = true;
  Object.assign(context, { lineWidth: 20, lineCap: "round", lineJoin: "round", strokeStyle: "black" });
  context.beginPath();
  line(event);
  line(event); // a click without movement draws a dot
});
canvas.addEventListener("pointermove", (event) => { if (drawing) line(event); });
canvas.addEventListener("pointerup", () => {
  drawing = false;
  trigger("input", { picture: canvas.toDataURL("image/png") });
});
element.querySelector("button").addEventListener("click", () => {
  clear();
  trigger("clear", {});
});
clear();
