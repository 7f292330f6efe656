// Owns the camera: a preview in the picture's frame, and a picture of it. Called by page.js. Surprise: the camera is let go
// as soon as the picture is taken, so its light goes out.
import { pngOf } from './picture.js';
import { byId, make, say } from './places.js';

/** `show` gets the picture and its name. */
export function setUpCamera(show) {
  const video = byId('preview');
  let stream = null;

  function visible(on) {
    video.hidden = !on;
    byId('camera-row').hidden = !on;
    byId('source-row').hidden = on;
    byId('frame').classList.toggle('filming', on);
    (on ? byId('camera-take') : byId('camera')).focus();
  }
  function close() {
    for (const track of stream?.getTracks() ?? []) track.stop();
    stream = null;
    video.srcObject = null;
    visible(false);
  }
  async function open() {
    byId('picture-problem').textContent = '';
    try {
      // Only there in pages from https or this computer.
      if (!navigator.mediaDevices?.getUserMedia)
        throw new Error('this browser gives no camera to this page');
      stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
      video.srcObject = stream;
      visible(true);
      await video.play();
      say('The camera is on');
    } catch (error) {
      if (stream) close();
      byId('picture-problem').textContent = `The camera cannot be used: ${error.message}`;
    }
  }
  async function take() {
    if (!video.videoWidth) return say('The camera shows nothing yet');
    const canvas = make('canvas', { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext('2d').drawImage(video, 0, 0);
    close();
    await show(await pngOf(canvas), 'The camera’s picture');
  }
  byId('camera').addEventListener('click', open);
  byId('camera-take').addEventListener('click', take);
  byId('camera-cancel').addEventListener('click', close);
  byId('picture').addEventListener('keydown', ({ key }) => {
    if (key === 'Escape' && stream) close();
  });
}
