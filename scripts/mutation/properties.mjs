/** Properties under mutation: the first counterexample is enough, a smaller one is looked for only by people. */
import fc from 'fast-check';

fc.configureGlobal({ endOnFailure: true });
