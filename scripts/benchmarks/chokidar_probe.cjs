// The same as watching_probe.py, for node's chokidar: node chokidar_probe.cjs CHOKIDAR ROOT
const fs = require('fs');
const [, , chokidarPath, root] = process.argv;
const chokidar = require(chokidarPath);
const ignored = new Set(['node_modules', '.git', 'dist', 'build', '.next', '__pycache__', '.venv', 'target']);
const seconds = () => Number(process.hrtime.bigint()) / 1e9;
const print = (answer) => console.log(JSON.stringify(answer));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const paths = new Set();
let lastS = 0;
let happened = () => {};
const start = seconds();
const watcher = chokidar.watch(root, {
  ignoreInitial: true,
  ignored: (path) => ignored.has(path.slice(path.lastIndexOf('/') + 1)),
});
watcher.on('all', (event, path) => {
  lastS = seconds();
  paths.add(path);
  happened();
});
watcher.on('ready', () => {
  print({readyMs: (seconds() - start) * 1000, delayMs: 0});
  require('readline').createInterface({input: process.stdin}).on('line', answer);
});

async function answer(question) {
  if (question === 'latency') print({p50Ms: await latency()});
  else if (question) print({paths: paths.size, losses: 0, lastS});
}

async function latency() {
  const taken = [];
  for (let number = 0; number < 100; number++) {
    await pause(70);
    const start = seconds();
    const told = new Promise((resolve) => (happened = resolve));
    fs.writeFileSync(root + '/latency.txt', String(number));
    // It drops what comes within 50 ms after another.
    await Promise.race([told, pause(1000)]);
    taken.push((seconds() - start) * 1000);
  }
  return taken.sort((a, b) => a - b)[50];
}
