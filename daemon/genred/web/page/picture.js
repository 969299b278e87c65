// The scrolling log-mel picture: time from left to right, low sounds at the bottom.

const SECONDS = 24;
// Bytes 0 to 255 stand for natural logarithms of power from -14 to 4.
const PER_BYTE = 18 / 255;
const WIDEST = 9 / PER_BYTE;
const NARROWEST = 4 / PER_BYTE;
const LOUDEST_AT_LEAST = 14 / PER_BYTE;
const STEADY = Math.round(0.5 / PER_BYTE);
// The picture runs a little behind, so that it can move evenly between two messages.
const BEHIND_S = 0.45;

/** Whoever wants nothing to move sees the picture step by step. */
export const still = matchMedia("(prefers-reduced-motion: reduce)");

/** sRGB of an OKLCH colour (B. Ottosson, "A perceptual color space for image processing", 2020). */
function oklch(lightness, chroma, hue) {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const channel = (linear) => {
    const x = Math.min(Math.max(linear, 0), 1);
    return 255 * (x <= 0.0031308 ? 12.92 * x : 1.055 * x ** (1 / 2.4) - 0.055);
  };
  return [
    channel(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
    channel(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
    channel(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s),
  ];
}

// Near-black indigo, violet, orange, pale yellow: lightness rises evenly.
const HEAT = Array.from({ length: 256 }, (_, at) => {
  const x = at / 255;
  return oklch(0.16 + 0.8 * x, 0.03 + 0.165 * Math.sin(Math.PI * x) ** 0.8, 285 + 165 * x);
});

export class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    this.columns = 0;
    this.visible = false;
    canvas.setAttribute("aria-label", `Log-mel picture of the last ${SECONDS} seconds`);
  }

  /** Take a `picture` message. */
  take(message) {
    const columns = Math.round(SECONDS * message.frame_rate);
    if (columns !== this.columns || message.mels !== this.mels || message.anew) {
      this.columns = columns;
      this.mels = message.mels;
      this.rate = message.frame_rate;
      this.bytes = new Uint8Array(columns * this.mels);
      this.drawing = new OffscreenCanvas(columns, this.mels);
      this.context = this.drawing.getContext("2d");
      this.scale = [LOUDEST_AT_LEAST, WIDEST];
      this.paint(0, columns);
    }
    const fresh = Uint8Array.from(atob(message.data), (each) => each.charCodeAt(0));
    const frames = Math.min(message.frames, columns);
    this.bytes.copyWithin(0, frames * this.mels);
    this.bytes.set(fresh.subarray(fresh.length - frames * this.mels), (columns - frames) * this.mels);
    this.end = message.end;
    this.arrived = performance.now();
    const scale = this.fitting();
    if (scale.some((each, at) => each !== this.scale[at])) {
      this.scale = scale;
      this.paint(0, columns);
    } else {
      this.context.globalCompositeOperation = "copy";
      this.context.drawImage(this.drawing, -frames, 0);
      this.context.globalCompositeOperation = "source-over";
      this.paint(columns - frames, columns);
    }
    if (still.matches) this.draw();
  }

  /** The byte of the brightest colour, and how far below it the darkest is. */
  fitting() {
    let [lowest, highest] = [255, 0];
    for (const byte of this.bytes) {
      if (byte > highest) highest = byte;
      if (byte < lowest) lowest = byte;
    }
    const brightest = Math.max(Math.ceil(highest / STEADY) * STEADY, LOUDEST_AT_LEAST);
    const span = brightest - Math.floor(lowest / STEADY) * STEADY;
    return [brightest, Math.min(Math.max(span, NARROWEST), WIDEST)];
  }

  /** Turn columns of bytes into colours. */
  paint(from, to) {
    const [brightest, span] = this.scale;
    const image = new ImageData(to - from, this.mels);
    for (let column = from; column < to; column++) {
      for (let mel = 0; mel < this.mels; mel++) {
        const value = (this.bytes[column * this.mels + mel] - brightest) / span + 1;
        const [red, green, blue] = HEAT[Math.round(255 * Math.min(Math.max(value, 0), 1))];
        const at = 4 * ((this.mels - 1 - mel) * (to - from) + column - from);
        image.data[at] = red;
        image.data[at + 1] = green;
        image.data[at + 2] = blue;
        image.data[at + 3] = 255;
      }
    }
    this.context.putImageData(image, from, 0);
  }

  /** Show it as of this moment. */
  draw() {
    if (!this.columns || !this.visible) return;
    const { canvas } = this;
    const width = Math.round(canvas.clientWidth * devicePixelRatio);
    const height = Math.round(canvas.clientHeight * devicePixelRatio);
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    const age = (performance.now() - this.arrived) / 1000;
    const ahead = still.matches ? 0 : Math.max(0, BEHIND_S - age);
    const shift = ahead * this.rate;
    const shown = (SECONDS - BEHIND_S) * this.rate;
    const context = canvas.getContext("2d");
    context.drawImage(this.drawing, this.columns - shown - shift, 0, shown, this.mels, 0, 0, width, height);
  }
}
