// Stands behind the viewer-request function in one file and calls it as CloudFront does.

async function serve(r) {
    var result = await handler({
        request: {
            method: r.method,
            uri: r.variables.request_uri.split('?')[0],
            querystring: {},
            headers: {},
            cookies: {}
        }
    });
    if (result.statusCode) {
        Object.keys(result.headers).forEach(function(name) {
            r.headersOut[name] = result.headers[name].value;
        });
        r.return(result.statusCode);
        return;
    }
    r.variables.object = result.uri;
    r.internalRedirect('@object');
}

function secret() {
    return process.env.CDN_SECRET;
}

export default { serve: serve, secret: secret };
