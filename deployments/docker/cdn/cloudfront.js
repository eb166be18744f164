// The key value store of CloudFront's function: `key.<kid>` is a secret of STREAM_SIGNING_KEYS.
var keys = JSON.parse(process.env.STREAM_SIGNING_KEYS);

export default {
    kvs: function() {
        return {
            get: async function(key) {
                var kid = key.slice('key.'.length);
                if (!Object.keys(keys).includes(kid)) {
                    throw new Error('KeyNotFound');
                }
                return keys[kid];
            }
        };
    }
};
