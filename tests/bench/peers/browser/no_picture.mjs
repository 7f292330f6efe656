// Owns what stands for js/cli/bench_image.js in a browser, where there is no zlib to pack a picture with. Served by
// browser.mjs in its place; images are measured in Node.
export function testPicture() {
  throw new Error('images are not measured in a browser');
}
