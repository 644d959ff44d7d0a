/** Leaves the text of errors alone: `new RangeError('…')` says something to people, and no test pins its words. */
const messages = {
  shouldIgnore({ node, parent }) {
    const isText = node.type === 'StringLiteral' || node.type === 'TemplateLiteral';
    const isError = parent?.type === 'NewExpression' && /(Error|MalformedNote)$/.test(parent.callee.name ?? '');
    return isText && isError && parent.callee.name !== 'AppError' ? 'the text of an error' : undefined;
  },
};

export const strykerPlugins = [{ kind: 'Ignore', name: 'messages', value: messages }];
