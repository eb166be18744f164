// CloudFront Function (runtime 2.0) on viewer requests of /t/*: verifies the playback token in the
// path and takes it away, so that all viewers of an object share one cache entry.
//
// Accepts exactly what native/token.pyx and native/origin.pyx accept; one table of golden vectors
// tests all of them. Keys come from the key value store: `key.<kid>` is a secret in base64url, as
// in `signing.keys`. Written in the part of the language that both njs and the runtime have.

import cf from 'cloudfront';
import crypto from 'crypto';

var store = cf.kvs();

var MAX_TOKEN = 1024;
var MAX_KEY = 255;
var SKEW_S = 60;
// `$` alone would also match before a newline at the end: the engine's expressions are Perl's.
var TOKEN = /^[A-Za-z0-9_-]+(?![\s\S])/;
// v/<media>/<version>/[<rendition>/]<name>, no segment empty or beginning with a dot
var KEY = /^v(\/[A-Za-z0-9_-][A-Za-z0-9._-]*){3,4}(?![\s\S])/;
var PREFIX = /^\/([\x00-\x7f]*\/)?(?![\s\S])/;

var UNSIGNED = 0;
var BYTES = 2;
var TEXT = 3;
var ARRAY = 4;
var MAP = 5;
var TAGGED = 6;

var CORS = {
    'access-control-allow-origin': { value: '*' },
    'access-control-expose-headers': { value: 'content-length, content-range, date, etag' }
};

async function handler(event) {
    var request = event.request;
    if (request.method === 'OPTIONS') {
        return answer(204, 'No Content', {
            'access-control-allow-methods': { value: 'GET, HEAD, OPTIONS' },
            'access-control-allow-headers': { value: 'range, if-range, if-none-match' },
            'access-control-max-age': { value: '86400' },
            'cache-control': { value: 'public, max-age=86400' }
        });
    }
    if (request.method !== 'GET' && request.method !== 'HEAD') {
        return answer(405, 'Method Not Allowed', {
            allow: { value: 'GET, HEAD, OPTIONS' },
            'cache-control': { value: 'no-store' }
        });
    }
    var path = request.uri.split('/');
    var token = path[2];
    var key = path.slice(3).join('/');
    var prefix = null;
    if (path[0] === '' && path[1] === 't' && key.length <= MAX_KEY && KEY.test(key)) {
        prefix = await opened(token);
    }
    if (prefix === null || ('/' + key).indexOf(prefix) !== 0) {
        return answer(403, 'Forbidden', { 'cache-control': { value: 'no-store' } });
    }
    request.uri = '/' + key;
    request.querystring = {};
    return request;
}

function answer(status, description, headers) {
    return {
        statusCode: status,
        statusDescription: description,
        headers: Object.assign(headers, CORS)
    };
}

// The path prefix that the token opens now, or null; all reasons look the same.
async function opened(token) {
    if (token.length === 0 || token.length > MAX_TOKEN || !TOKEN.test(token)) {
        return null;
    }
    var data = Buffer.from(token, 'base64url');
    if (data.toString('base64url') !== token) {
        return null;
    }
    try {
        var envelope = readEnvelope(reader(data, 0, data.length));
        var secret = await store.get('key.' + envelope.kid);
        var mac = crypto.createHmac('sha256', Buffer.from(secret, 'base64url'));
        mac.update(envelope.signed);
        if (!same(mac.digest('base64url'), envelope.tag)) {
            return null;
        }
        return readClaims(envelope.claims, Date.now() / 1000);
    } catch (error) {
        return null; // malformed, or no such key
    }
}

function same(one, other) {
    var difference = one.length ^ other.length;
    for (var i = 0; i < one.length; i++) {
        difference |= one.charCodeAt(i) ^ other.charCodeAt(i);
    }
    return difference === 0;
}

function reader(data, position, end) {
    return { data: data, position: position, end: end };
}

function refuse(wrong) {
    if (wrong) {
        throw new Error('not a token');
    }
}

// The argument of the next item, of this major type, in its shortest form and below 2**63.
function head(from, major) {
    refuse(from.position >= from.end);
    var initial = from.data[from.position++];
    refuse(initial >> 5 !== major || (initial & 31) > 27);
    if ((initial & 31) < 24) {
        return initial & 31;
    }
    var extra = 1 << ((initial & 31) - 24);
    refuse(from.end - from.position < extra || (extra === 8 && from.data[from.position] > 127));
    var value = 0;
    for (var i = 0; i < extra; i++) {
        value = value * 256 + from.data[from.position++];
    }
    refuse(value < (extra === 1 ? 24 : Math.pow(2, extra * 4)));
    return value;
}

function expect(from, major, argument) {
    refuse(head(from, major) !== argument);
}

// Where a string's content is.
function string(from, major) {
    var length = head(from, major);
    refuse(length > from.end - from.position);
    var start = from.position;
    from.position += length;
    return reader(from.data, start, from.position);
}

function text(part) {
    var characters = '';
    for (var i = part.position; i < part.end; i++) {
        characters += String.fromCharCode(part.data[i]);
    }
    return characters;
}

// COSE_Mac0 of RFC 9052 and what its tag signs (section 6.3), with or without the tag of a CWT.
function readEnvelope(from) {
    if (from.end > 1 && from.data[0] === 0xd8 && from.data[1] === 61) {
        expect(from, TAGGED, 61);
    }
    expect(from, TAGGED, 17);
    expect(from, ARRAY, 4);
    var start = from.position;
    var protectedPart = string(from, BYTES);
    var protectedItem = from.data.slice(start, from.position);
    expect(from, MAP, 0);
    start = from.position;
    var claims = string(from, BYTES);
    var claimsItem = from.data.slice(start, from.position);
    var tag = string(from, BYTES);
    refuse(from.position !== from.end || tag.end - tag.position !== 32);
    return {
        kid: readKid(protectedPart),
        claims: claims,
        signed: Buffer.concat([
            Buffer.from('8464' + '4d414330', 'hex'), // ["MAC0", protected, no external data, payload]
            protectedItem,
            Buffer.from('40', 'hex'),
            claimsItem
        ]),
        tag: tag.data.slice(tag.position, tag.end).toString('base64url')
    };
}

function readKid(from) {
    var kid = null;
    var algorithm = false;
    expect(from, MAP, 2);
    for (var i = 0; i < 2; i++) {
        var label = head(from, UNSIGNED);
        if (label === 1 && !algorithm) {
            algorithm = true;
            expect(from, UNSIGNED, 5); // HMAC 256/256
        } else {
            refuse(label !== 4 || kid !== null);
            kid = text(string(from, BYTES));
        }
    }
    refuse(from.position !== from.end);
    return kid;
}

// The prefix that the claims open now. An unknown claim could be a restriction: it refuses.
function readClaims(from, now) {
    var count = head(from, MAP);
    var previous = -1;
    var expires = -1;
    var notBefore = 0;
    var prefix = '';
    for (; count > 0; count--) {
        var claim = head(from, UNSIGNED);
        refuse(claim <= previous); // RFC 8949 section 4.2: sorted, nothing twice
        previous = claim;
        if (claim === 4) {
            expires = head(from, UNSIGNED);
        } else if (claim === 5) {
            notBefore = head(from, UNSIGNED);
        } else if (claim === 6) {
            head(from, UNSIGNED);
        } else if (claim === 7) {
            string(from, BYTES);
        } else if (claim === 310) {
            expect(from, UNSIGNED, 1);
        } else {
            refuse(claim !== 312); // CTA-5007 catu: {path 3: {prefix match 1: text}}
            expect(from, MAP, 1);
            expect(from, UNSIGNED, 3);
            expect(from, MAP, 1);
            expect(from, UNSIGNED, 1);
            prefix = text(string(from, TEXT));
        }
    }
    refuse(from.position !== from.end || expires < 0 || !PREFIX.test(prefix));
    return notBefore - SKEW_S <= now && now < expires ? prefix : null;
}
