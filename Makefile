# The everyday commands, over CMake. `make help` lists them.
BUILD := build/release
CMAKE_FLAGS ?=
# A directory that has the tests keeps them: else they would be there, and stale, until the next `make test`.
WITHOUT_TESTS = $(if $(wildcard $(BUILD)/CMakeCache.txt),,-DKVNODE_TESTS=OFF)

.DEFAULT_GOAL := build
.PHONY: help build run test bench run-leader run-follower1 run-follower2 test-write test-read cluster-status \
	lint format clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "make %-16s %s\n", $$1, $$2 }' Makefile

build: ## ./kvnode, optimized
	@tools/install-dependencies.sh run
	@cmake -S . -B $(BUILD) -G Ninja --log-level=WARNING $(WITHOUT_TESTS) $(CMAKE_FLAGS)
	@cmake --build $(BUILD) --target kvnode
	@install -m 755 $(BUILD)/kvnode kvnode

run: build ## three nodes with real data, until Ctrl-C; VOTERS=1: they elect their leader
	@tools/run-cluster.sh $(if $(VOTERS),--voters)

test: ## build everything, run every test
	@tools/install-dependencies.sh test
	@cmake -S . -B $(BUILD) -G Ninja --log-level=WARNING -DKVNODE_TESTS=ON $(CMAKE_FLAGS)
	@cmake --build $(BUILD)
	@install -m 755 $(BUILD)/kvnode kvnode
	@ctest --test-dir $(BUILD) --output-on-failure --no-tests=error

bench: build ## kvnode beside redis-server, on this machine (BENCH=--quick: 1 to 2 minutes)
	@tools/install-dependencies.sh bench
	@tests/bench/bench.py $(BENCH)

run-leader: build ## the specification's leader
	./kvnode -port 8000 -group 0 -leader -api 9000

run-follower1: build ## its first follower
	./kvnode -port 8001 -group 0 -api 9001

run-follower2: build ## its second follower
	./kvnode -port 8002 -group 0 -api 9002

test-write: ## write a key to the running leader
	@curl -sS -X POST http://localhost:9000/set -H "Content-Type: application/json" \
		-d '{"key": "test", "value": "hello"}' && echo

test-read: ## read it from the leader and both followers
	@for port in 9000 9001 9002; do curl -sS "http://localhost:$$port/get?key=test" && echo || exit 1; done

cluster-status: ## what the running leader knows of the cluster
	@curl -sS http://localhost:9000/cluster | jq .

lint: ## layers, format, shell scripts
	@tools/lint.sh

format: ## clang-format over every C file
	@git ls-files -z --cached --others --exclude-standard '*.c' '*.h' | xargs -0 clang-format -i

clean: ## remove what was built
	rm -rf build kvnode
