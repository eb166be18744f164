// Stands behind the viewer-request function in one file and calls it as CloudFront does.

async function serve(r) {
    var parts = r.variables.request_uri.split('?');
    var result = await handler({
        request: {
            method: r.method,
            uri: parts[0],
            querystring: parts.length > 1 ? { query: { value: parts[1] } } : {},
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

export default { serve: serve };
