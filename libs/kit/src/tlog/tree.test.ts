import { describe, expect, test } from '@jest/globals';
import { CompactRange, emptyRoot, leafHash, nodeHash } from './tree.js';

/** The leaves and roots that Certificate Transparency implementations test each other with. */
const leaves = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f'];
const roots = [
  '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
  'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
  'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
  'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
  '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
  '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
  'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
  '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
];

/** RFC 6962 §2.1 word for word, as slow as it reads. */
function treeHash(hashes: readonly Buffer[]): Buffer {
  const [only] = hashes;
  if (only === undefined) return emptyRoot;
  if (hashes.length === 1) return only;
  const k = 2 ** Math.floor(Math.log2(hashes.length - 1));
  return nodeHash(treeHash(hashes.slice(0, k)), treeHash(hashes.slice(k)));
}

describe('the tree', () => {
  test('the hashes are those of RFC 6962', () => {
    expect(emptyRoot.toString('hex')).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    expect(leafHash(Buffer.alloc(0)).toString('hex')).toBe(roots[0]);
    expect(leafHash(Buffer.from('L123456')).toString('hex')).toBe(
      '395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56',
    );
    expect(nodeHash(Buffer.from('N123'), Buffer.from('N456')).toString('hex')).toBe(
      'aa217fe888e47007fa15edab33c2b492a722cb106c64667fc2b044444de66bbb',
    );
  });

  test('the known leaves give the known roots', () => {
    const range = CompactRange.empty();
    const seen = leaves.map((leaf) => {
      range.append(leafHash(Buffer.from(leaf, 'hex')));
      return range.root().toString('hex');
    });
    expect(seen).toEqual(roots);
  });

  test('for every size up to 300 the root is that of the definition, also after a round trip through storage', () => {
    const hashes: Buffer[] = [];
    let range = CompactRange.empty();
    for (let size = 0; size <= 300; size++) {
      expect(range.size).toBe(size);
      expect(range.root().equals(treeHash(hashes))).toBe(true);
      range = CompactRange.fromBytes(size, range.toBytes());
      const leaf = leafHash(Buffer.from(String(size)));
      hashes.push(leaf);
      range.append(leaf);
    }
  });

  test('an append answers every subtree that it closed, with its root', () => {
    const hashes: Buffer[] = [];
    const range = CompactRange.empty();
    for (let i = 0; i < 64; i++) {
      const leaf = leafHash(Buffer.from(String(i)));
      hashes.push(leaf);
      for (const { height, index, hash } of range.append(leaf)) {
        expect(hash.equals(treeHash(hashes.slice(index * 2 ** height, (index + 1) * 2 ** height)))).toBe(true);
      }
    }
  });

  test('a copy grows by itself', () => {
    const range = CompactRange.empty();
    for (let i = 0; i < 5; i++) range.append(leafHash(Buffer.from(String(i))));
    const [root, copy] = [range.root(), range.clone()];
    expect([copy.size, copy.root()]).toEqual([5, root]);
    copy.append(leafHash(Buffer.from('5')));
    expect(copy.root()).not.toEqual(root);
    expect([range.size, range.root()]).toEqual([5, root]);
  });

  test('a frontier that does not belong to the size is refused', () => {
    const range = CompactRange.empty();
    for (let i = 0; i < 5; i++) range.append(leafHash(Buffer.from(String(i))));
    expect(() => CompactRange.fromBytes(7, range.toBytes())).toThrow(RangeError);
    expect(() => CompactRange.fromBytes(-1, Buffer.alloc(0))).toThrow(RangeError);
  });
});
