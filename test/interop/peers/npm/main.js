// The npm package fernet as a peer: see ../../peer.py for what it reads and writes.
'use strict';

const fernet = require('fernet');

// The time that the library is to take for the present, in milliseconds.
let now = 0;

class FixedDate extends Date {
  constructor(...values) {
    super(...(values.length === 0 ? [now] : values));
  }
}
global.Date = FixedDate;

function bytes(text) {
  return Buffer.from(text, 'hex');
}

function isText(buffer) {
  return Buffer.from(buffer.toString('utf8'), 'utf8').equals(buffer);
}

// The library has one key at a time. It throws whatever it refuses.
function readKey(keys) {
  return new fernet.Secret(bytes(keys).toString('utf8'));
}

function open([keys, token, ttl, at]) {
  if (keys.includes(',')) {
    return ['unasked', ''];
  }
  now = at * 1000;
  try {
    const secret = readKey(keys);
    // For this library a ttl of 0 is none, and none is one minute.
    const seconds = ttl === '-' ? 0 : Number(ttl);
    const opened = new fernet.Token({
      secret, token: bytes(token).toString('utf8'), ttl: seconds,
    }).decode();
    return ['opened', Buffer.from(opened, 'utf8').toString('hex')];
  } catch (error) {
    return ['refused', ''];
  }
}

function seal([keys, plaintext, at]) {
  const message = bytes(plaintext);
  // The library takes a string, and 0 for the present.
  if (!isText(message) || at === '0') {
    return ['unasked', ''];
  }
  now = at * 1000;
  const token = new fernet.Token({
    secret: readKey(keys), message: message.toString('utf8'),
    time: new Date(now),
  }).encode();
  return ['sealed', Buffer.from(token, 'utf8').toString('hex')];
}

const tasks = { open, seal };

function answer(task, fields) {
  try {
    return task in tasks ? tasks[task](fields) : ['unasked', ''];
  } catch (error) {
    return ['crashed', ''];
  }
}

const lines = require('fs').readFileSync(0, 'utf8').split('\n');
lines.pop();
for (const line of lines) {
  const [number, task, ...fields] = line.split('\t');
  process.stdout.write([number, ...answer(task, fields)].join('\t') + '\n');
}
