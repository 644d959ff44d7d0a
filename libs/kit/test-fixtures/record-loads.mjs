/** Preload: remembers the address of every module that is loaded after it, in `globalThis.loadedModules`. */
import { registerHooks } from 'node:module';

globalThis.loadedModules = [];
registerHooks({
  load(url, context, next) {
    globalThis.loadedModules.push(url);
    return next(url, context);
  },
});
