// Owns the import for its effect alone: `import 'ocelli/azion'` and Azion.AI.run is there. Surprise: it loads nothing
// until the first run.
import { install } from './index.ts';

install();
