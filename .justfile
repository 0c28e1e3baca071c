# The scripts by name: `just`, `just test`, `just replay FILE`. Each explains itself with --help.

default:
    @just --list

# The main job on loopback, each number beside a calculation by hand
demo *args:
    scripts/demo {{args}}

# target/meterr.wasm
build *args:
    scripts/build {{args}}

# Every layer of tests; --fast: what needs no Envoy; --all: the long ones whole
test *args:
    scripts/test {{args}}

# The providers' own SDKs; --all: all of them; --sdk NAME: one
sdk *args:
    tests/sdk/run {{args}}

# CPU per request as a ratio to bare Envoy
bench *args:
    scripts/bench {{args}}

# An Envoy, as `just envoy -c envoy/envoy.yaml`
envoy *args:
    scripts/envoy {{args}}

# What the core reads in captured traffic
replay *args:
    scripts/replay {{args}}

# The compiled-in price table, anew
prices *args:
    scripts/prices {{args}}

# How far estimates are from what is reported
estimate *args:
    scripts/estimate {{args}}

# What reads hostile bytes, guided by coverage
fuzz *args:
    scripts/fuzz {{args}}

# Envoy's rate limit service and Redis on loopback
ratelimit *args:
    scripts/ratelimit {{args}}

# A Prometheus beside envoy/envoy.yaml; --check: its rules
prometheus *args:
    scripts/prometheus {{args}}

# Breaks one line of the limits at a time: does a test notice?
mutate *args:
    scripts/mutate {{args}}

# Sends a collector what stands in Envoy's logs and it has not got
reconcile *args:
    scripts/reconcile {{args}}

# An OCI image layout of the filter, for oci:// URLs
image *args:
    scripts/image {{args}}

# The manifests of envoy/istio against the published CRDs, as `just istio --check`
istio *args:
    scripts/istio {{args}}

# Prints the events that come to port 8900
collector *args:
    scripts/collector {{args}}
