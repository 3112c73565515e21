// A recording of what a patron says, in this page's memory only. The microphone is let go the moment it ends.

const RATE = 16000; // samples a second, as the kiosk's model reads them

export async function hasMicrophone() {
  try {
    const devices = await navigator.mediaDevices.enumerateDevices();
    return devices.some((device) => device.kind === "audioinput");
  } catch {
    return false; // no secure context, or a browser without it
  }
}

// Listens until finish() or drop(), or for so many seconds, and then calls whole(). still() says whether it is wanted
// once the patron has allowed it.
export async function record(seconds, still, whole) {
  const pieces = [];
  let held = 0;
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
  });
  let context = null;
  const release = () => {
    for (const track of stream.getTracks()) track.stop();
    if (context?.state !== "closed") context?.close();
  };
  const drop = () => {
    release();
    for (const piece of pieces.splice(0)) piece.fill(0);
  };
  if (!still()) {
    release();
    return null;
  }
  try {
    context = new AudioContext({ sampleRate: RATE });
    await context.audioWorklet.addModule("/static/microphone.js");
    const node = new AudioWorkletNode(context, "microphone", { numberOfOutputs: 0 });
    node.port.onmessage = ({ data }) => {
      if (held >= seconds * RATE || context.state === "closed") return;
      pieces.push(data);
      held += data.length;
      if (held >= seconds * RATE) whole();
    };
    context.createMediaStreamSource(stream).connect(node);
    await context.resume();
  } catch (error) {
    drop();
    throw error;
  }
  // The samples, at most as many as the kiosk takes; what held them is emptied.
  const finish = () => {
    release();
    const all = new Int16Array(Math.min(held, seconds * RATE));
    let at = 0;
    for (const piece of pieces.splice(0)) {
      all.set(piece.subarray(0, all.length - at), at);
      at = Math.min(all.length, at + piece.length);
      piece.fill(0);
    }
    return all;
  };
  return { finish, drop };
}
