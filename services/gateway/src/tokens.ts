/** Injection tokens of the module: what the routes need from outside, by name and never by implicit type. */
export const CALLS = Symbol('Calls');
export const KEYS = Symbol('KeySet');
export const CHECKS = Symbol('GatewayChecks');
/** The public keys of assertions, as a list. */
export const ASSERTION_KEYS = Symbol('AssertionKeys');
/** A string or undefined. */
export const TRACE_URL_TEMPLATE = Symbol('TraceUrlTemplate');
