// Owns the version that the server tells. Called by app.ts. Surprise: it stands here once more, since an edge isolate cannot
// read package.json; a test compares them.

export const packageVersion = '0.1.0';
