#!/usr/bin/env node
import { verify } from './check/verify.command.js';

process.exitCode = await verify({
  args: process.argv.slice(2),
  env: process.env,
  write: (text) => void process.stdout.write(text),
});
