/** The tests of one area, as jest runs them inside the copy that Stryker mutates. */
import root from '../../jest.config.mjs';
import { areas } from './areas.mjs';

const area = areas[process.env.MUTATION_AREA];
const project = root.projects.find(({ displayName }) => displayName === area.project);

export default {
  ...project,
  setupFiles: [`${import.meta.dirname}/properties.mjs`],
  testMatch: area.tests.map((pattern) => `<rootDir>/${pattern}`),
  testPathIgnorePatterns: [...project.testPathIgnorePatterns, '\\.int\\.test\\.ts$'],
};
