// Owns `ocelli bench` in a browser: measures a model that comes from the server, and reports. Started by ocelli.html. Surprise:
// imports by computed names, since what lies at /build is the built package, known to no linter.
import { measure } from './ocelli_phases.mjs';
import { optionsOf, reportOf } from './report.mjs';

const built = (name) => import(`/build/js/${name}`);
const model = new URL('/container/', self.location.href).href;

void reportOf(() => measure(built, model, optionsOf(self.location.href)));
