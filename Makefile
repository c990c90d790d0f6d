# Everything that a person or CI does with the repository. "make help" lists the targets.
# Needs Go of the version in go.mod or newer; "make test" installs what the tests need besides, on Debian (.ci/deps).

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# The version of a tool that is not in go.mod.
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
BUILD := CGO_ENABLED=0 go build -trimpath -ldflags '-w -X main.version=$(VERSION)'
SOURCES := bench cmd dispatch frame netserver sdk sink tools
GENERATED := docs/configuration.md docs/codes.md frame/codes_gen.go
FUZZTIME ?= 30s
TESTFLAGS ?= -count=1 -timeout 15m
LISTEN ?= 127.0.0.1:8080
ADMIN ?= 127.0.0.1:8081

# Builds must not depend on who owns the checkout.
export GOFLAGS := -buildvcs=false

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: build
build: ## Build bin/switchyard and bin/switchyard-bench (static)
	@mkdir -p bin
	$(BUILD) -o bin/ ./cmd/switchyard ./cmd/switchyard-bench

.PHONY: run
run: build ## Build, and serve on LISTEN with the store ./data; prints tokens and what to try next
	@exec bin/switchyard serve --dev --listen $(LISTEN) --admin $(ADMIN) --data ./data

.PHONY: test
test: deps format vet generated test-codecs ## Install what the tests need and run them all, without and with -race
	go test $(TESTFLAGS) ./...
	go test $(TESTFLAGS) -run TestKillUnderLoad ./cmd/switchyard -kill.pairs 500 -kill.rate 20000
	go test $(TESTFLAGS) -run 'TestFaultyServers|TestAServerWithoutFaults' ./cmd/switchyard-bench -faults.every 100000
	CGO_ENABLED=1 go test -race $(TESTFLAGS) ./...

# Each test binary starts a ClickHouse of its own, which .ci/deps has installed; TEST_CLICKHOUSE=HOST:PORT names another one.
CLICKHOUSE_TESTS := ./sink/history/... ./sink/sinkbench

.PHONY: test-clickhouse
test-clickhouse: deps ## Run the tests that need a ClickHouse, alone
	go test $(TESTFLAGS) $(CLICKHOUSE_TESTS)
	go test $(TESTFLAGS) -run 'Sink|History|Click[hH]ouse|Seam' ./cmd/switchyard ./cmd/switchyard-bench

.PHONY: quick
quick: format vet ## Run the tests once, with cached results, without -race
	go test ./...

.PHONY: hostile
hostile: ## Run the server against 10,000 connections that trickle a byte a second (a minute or two)
	go test $(TESTFLAGS) -v -run 'TestTrickle|TestStalledReaders|TestUnfinishedHandshakes' ./netserver -hostile.conns 10000 -hostile.tick 1s

.PHONY: fuzz
fuzz: ## Fuzz every decoder for FUZZTIME each
	@for p in $$(grep -rl --include='*_test.go' '^func Fuzz' $(SOURCES) | xargs -n1 dirname | sort -u); do \
		for f in $$(go test -list '^Fuzz' ./$$p | grep '^Fuzz'); do \
			echo "== $$p $$f"; go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) ./$$p; \
		done; \
	done

.PHONY: bench
bench: ## Run the micro-benchmarks
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: bench-peers
bench-peers: build ## Measure echo beside other libraries, for 11 minutes; PEERS="--rounds 1 --duration 500ms --settle 1s" for a try
	cd bench/peers && $(BUILD) -o ../../bin/peers .
	bin/peers compare --json bin/peers.json $(PEERS) | tee bin/peers.md

# bench/peers is a module of its own, so "make test" neither builds it nor needs the libraries that it measures.
.PHONY: test-peers
test-peers: ## Vet and test bench/peers
	cd bench/peers && go vet ./... && go test $(TESTFLAGS) ./...

# 18,000 connections a process, 16,500 a server; needs about 13 GB of memory for a million, waits and then stops before less than 3 GiB are left. Each
# connection is pinged once while all are held. A hundred processes on few processors need one each, and seldom: docs/capacity.md tells why.
MILLION ?= 1000000
MILLION_ADDRESS ?= 127.0.0.1:18080
MILLION_PING ?= 2m

.PHONY: million
million: build ## Open MILLION idle connections on this machine (ulimit -n 20000), and tell what they cost
	@ulimit -n 20000; bin/switchyard-bench idle --url ws://$(MILLION_ADDRESS)/ws --conns $(MILLION) --settle 10s --hold $(MILLION_PING) \
		--serve "env GOMAXPROCS=1 bin/switchyard echo --reuse-port --ping-after $(MILLION_PING) --listen $(MILLION_ADDRESS)"

OVERLOAD_ADDRESS ?= 127.0.0.1:18780
OVERLOAD_ADMIN ?= 127.0.0.1:18781

.PHONY: overload
overload: build ## Offer a server twice what it can do, and tell what it accepts and how fast
	@dir=$$(mktemp -d); bin/switchyard serve --dev --listen $(OVERLOAD_ADDRESS) --admin $(OVERLOAD_ADMIN) --data $$dir/data > /dev/null 2> $$dir/log & pid=$$!; \
	trap 'kill $$pid || true; wait $$pid || true; rm -rf $$dir' EXIT; \
	until curl -fs http://$(OVERLOAD_ADMIN)/readyz > /dev/null; do kill -0 $$pid || { cat $$dir/log; exit 1; }; sleep 0.1; done; \
	bin/switchyard-bench overload --url ws://$(OVERLOAD_ADDRESS)/v1/ws --key $$dir/data/token.key --server-pid $$pid || code=$$?; \
	curl -fs http://$(OVERLOAD_ADMIN)/metrics | grep -E '^switchyard_(shed_total|pressure_level|frames_overloaded_total|latency_seconds.*quantile="0.99".*accept)'; exit $${code:-0}

# bench/codecs is a module of its own as well, but small enough for "make test".
.PHONY: bench-codec
bench-codec: build ## Measure our codec beside JSON, msgpack, protobuf and FlatBuffers, for a minute; CODEC="--rounds 1" for a try
	cd bench/codecs && $(BUILD) -o ../../bin/codecs .
	bin/switchyard-bench codec --json bin/codec.json $(CODEC)

.PHONY: test-codecs
test-codecs: ## Vet and test bench/codecs
	cd bench/codecs && go vet ./... && go test $(TESTFLAGS) ./...

.PHONY: screenshots
screenshots: build deps ## Run the load tester and take the pictures of its pages anew, docs/images (a minute)
	tools/screenshots

SINK_PORT ?= 18900

.PHONY: bench-sink
bench-sink: build deps ## Measure the journal, and the way from it to a ClickHouse that this starts; SINK="--rounds 1" for a try
	cd tools/clickhouse && $(BUILD) -o ../../bin/clickhouse .
	@dir=$$(mktemp -d); trap 'rm -rf $$dir' EXIT; \
	coproc bin/clickhouse -dir $$dir/clickhouse -tcp-port $(SINK_PORT) -http-port $$(($(SINK_PORT) + 1)); \
	read -r -t 60 -u $${COPROC[0]}; \
	bin/switchyard-bench sink --clickhouse 127.0.0.1:$(SINK_PORT) $(SINK)

SOAK_PORT ?= 18910

.PHONY: soak
soak: build deps ## Load a server for 10 minutes while it, its clients and its ClickHouse are killed and cut off; SOAK="--duration 1m" for a try
	cd tools/clickhouse && $(BUILD) -o ../../bin/clickhouse .
	@dir=$$(mktemp -d); trap 'rm -rf $$dir' EXIT; at() { echo 127.0.0.1:$$(($(SOAK_PORT) + $$1)); }; \
	bin/switchyard-bench soak --url ws://$$(at 0)/v1/ws --admin http://$$(at 1) --history http://$$(at 2) --history-within 2m --key $$dir/data/token.key \
		--clickhouse "bin/clickhouse -dir $$dir/clickhouse -tcp-port $$(($(SOAK_PORT) + 3)) -http-port $$(($(SOAK_PORT) + 4))" \
		--serve "bin/switchyard serve --dev --data $$dir/data --listen $$(at 0) --admin $$(at 1) --set api.listen=$$(at 2) --set history.clickhouse=$$(at 3)" $(SOAK)

.PHONY: burst
burst: ## Watch the memory return after 15,000 connections sent 60 KiB at once, to echo and to serve (0.5 GB for a moment, 2 GB of disk)
	go test $(TESTFLAGS) -v -run TestMemoryReturnsAfterABurst/echo ./cmd/switchyard -burst.conns 15000
	go test $(TESTFLAGS) -v -run TestMemoryReturnsAfterABurst/serve ./cmd/switchyard -burst.conns 15000

.PHONY: routing
routing: ## Measure how long it takes from open to assigned, 5,000 times, and serve a burst of 10,000 conversations
	go test $(TESTFLAGS) -v -run 'TestAssignmentLatency|TestBurstOfConversations' ./cmd/switchyard -assign.count 5000

.PHONY: honesty
honesty: ## Compare the load tester's percentiles with arithmetic: a server that stalls for 500 ms every 10 s (40 s)
	go test $(TESTFLAGS) -v -run TestStallsAreNotHidden ./cmd/switchyard-bench -stall.length 500ms -stall.every 10s -stall.count 4

.PHONY: lint
lint: vet test-peers ## Vet, and staticcheck of a pinned version; bench/peers, bench/codecs and tools too
	go run $(STATICCHECK) ./...
	cd bench/peers && go run $(STATICCHECK) ./...
	cd bench/codecs && go vet ./... && go run $(STATICCHECK) ./...
	cd tools/clickhouse && CGO_ENABLED=0 go vet ./... && CGO_ENABLED=0 go run $(STATICCHECK) ./...

.PHONY: vet
vet:
	go vet ./...

.PHONY: format
format:
	@bad=$$(gofmt -l $(SOURCES)); if [ -n "$$bad" ]; then \
		echo "not formatted, run gofmt -w on:"; echo "$$bad"; exit 1; fi

.PHONY: generate
generate: ## Write the generated files anew
	go generate ./...
	@mkdir -p .cache
	go run ./cmd/switchyard config docs > .cache/configuration.md
	@mv .cache/configuration.md docs/configuration.md

# Writes the generated files and fails if that changed one; needs no git.
.PHONY: generated
generated:
	@mkdir -p .cache && sha256sum $(GENERATED) > .cache/generated
	@$(MAKE) --no-print-directory generate
	@sha256sum --check --quiet .cache/generated || { echo "generated files were out of date; they are written anew, commit them"; exit 1; }

.PHONY: deps
deps:
	@.ci/deps

.PHONY: clean
clean: ## Remove what was built (not ./data)
	rm -rf bin .cache
