import { describe, expect, test } from '@jest/globals';
import { Circuit } from './circuit.js';

function opened(): Circuit {
  const circuit = new Circuit();
  for (let i = 0; i < 5; i++) circuit.onSilence(0, 1_000);
  return circuit;
}

describe('a circuit', () => {
  test('opens at the fifth slow silence in a row', () => {
    const circuit = new Circuit();
    for (let i = 0; i < 4; i++) expect(circuit.onSilence(0, 1_000)).toBe(false);
    circuit.onAnswer();
    for (let i = 0; i < 4; i++) expect(circuit.onSilence(0, 1_000)).toBe(false);
    expect(circuit.onSilence(0, 1_000)).toBe(true);
    expect(circuit.admits(1_001)).toBe(false);
  });

  test('does not open for refusals that cost no time', () => {
    const circuit = new Circuit();
    for (let i = 0; i < 100; i++) circuit.onSilence(0, 5);
    expect(circuit.isOpen).toBe(false);
  });

  test('lets one probe through after its pause, and another only when that one has failed', () => {
    const circuit = opened();
    expect(circuit.admits(1_499)).toBe(false);
    expect(circuit.admits(1_500)).toBe(true);
    expect(circuit.admits(1_501)).toBe(false);
    circuit.onSilence(1_500, 1_510);
    expect(circuit.admits(2_009)).toBe(false);
    expect(circuit.admits(2_010)).toBe(true);
  });

  test('closes with the first answer, also when it is an error of the service', () => {
    const circuit = opened();
    circuit.admits(1_500);
    expect(circuit.onAnswer()).toBe(true);
    expect([circuit.admits(1_501), circuit.admits(1_502)]).toEqual([true, true]);
  });
});
