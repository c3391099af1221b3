# One image for manager, depot, console and the small programs inside build Pods. The depot runs the real git and rsync,
# so it stands on a Debian and not on an empty base.
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=development
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /slipway .

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates git openssh-client rsync \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --uid 65532 --no-create-home slipway
COPY --from=build /slipway /usr/local/bin/slipway
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/slipway"]
