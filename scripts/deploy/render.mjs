import path from 'node:path';
import { parseAllDocuments } from 'yaml';
import { helm } from './tools.mjs';

const folder = path.resolve(import.meta.dirname, '../../deploy/k8s');
export const chart = path.join(folder, 'chart');
export const variants = ['minimal', 'production', 'operators', 'everything'];
/** The oldest and the newest Kubernetes that the chart is checked for. */
export const kubeVersions = ['1.30', '1.35'];

/** An example that people start from is a variant too, so that it cannot rot. */
const examples = { operators: 'examples/operators/prime-nest.yaml' };

export const valuesOf = (variant) => path.join(folder, examples[variant] ?? `variants/${variant}.yaml`);

/** What `helm template` makes of a variant. */
export function template(variant, kubeVersion, ...more) {
  const common = ['--namespace', 'prime-nest', '--kube-version', kubeVersion, '--values', valuesOf(variant)];
  return helm('template', 'prime-nest', chart, ...common, ...more);
}

/**
 * The same for kubectl: `1-jobs.yaml` is applied first and waited for, then `2-system.yaml`. Without helm's own
 * annotations and without the test pod.
 */
export function manifests(rendered) {
  const documents = parseAllDocuments(rendered).filter((document) => document.toJS() !== null);
  const jobs = [];
  const system = [];
  for (const document of documents) {
    const annotations = document.getIn(['metadata', 'annotations'])?.toJSON() ?? {};
    const hook = annotations['helm.sh/hook'];
    if (hook === 'test') continue;
    const isJob =
      hook !== undefined ||
      document.get('kind') === 'Job' ||
      /-(bootstrap|jobs)$/.test(document.getIn(['metadata', 'name']));
    for (const name of Object.keys(annotations).filter((key) => key.startsWith('helm.sh/')))
      document.deleteIn(['metadata', 'annotations', name]);
    if (document.getIn(['metadata', 'annotations'])?.items.length === 0) document.deleteIn(['metadata', 'annotations']);
    document.commentBefore = null;
    if (document.contents) document.contents.commentBefore = null;
    (isJob ? jobs : system).push(document.toString({ lineWidth: 0 }));
  }
  return { '1-jobs.yaml': join(jobs), '2-system.yaml': join(system) };
}

const notice = '# Made from deploy/k8s/chart by `npm run deploy:render`; edit the chart instead.\n';
const join = (texts) => notice + texts.map((text) => (text.startsWith('---') ? text : `---\n${text}`)).join('');
