# Slipway's targets; "make help" lists them. Everything below works from a clean clone: what is missing is installed or
# compiled, and kept for the next run.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# One setting for every build, so that all of them share one build cache.
export GOFLAGS := -trimpath -buildvcs=false
export CGO_ENABLED := 0

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
IMG ?= slipway:dev

CONTROLLER_TOOLS_VERSION := v0.23.0
CRD_REF_DOCS_VERSION := v0.3.0
GOLANGCI_LINT_VERSION := v2.15.0
KUSTOMIZE_VERSION := v5.8.3

TOOLS := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/slipway/tools
CONTROLLER_GEN := $(TOOLS)/$(CONTROLLER_TOOLS_VERSION)/controller-gen
CRD_REF_DOCS := $(TOOLS)/$(CRD_REF_DOCS_VERSION)/crd-ref-docs
GOLANGCI_LINT := $(TOOLS)/$(GOLANGCI_LINT_VERSION)/golangci-lint
KUSTOMIZE := $(TOOLS)/$(KUSTOMIZE_VERSION)/kustomize

# TEST_FLAGS are handed to go test; packages run one after the other because they share hosts' names and the engine.
TEST_FLAGS ?=
E2E_TIMEOUT ?= 20m
HISTORIES ?= 1000000
FUZZTIME ?= 10s
GO_PACKAGES = $$(go list ./... | grep -v /applyconfiguration)

##@ General

.PHONY: help
help: ## Show this list.
	@awk 'BEGIN {FS = ":.*## "; print "Usage: make TARGET"} /^##@/ {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Main

.PHONY: demo
demo: ## Build WordPress and a Node service, release them to three hosts, upgrade, roll back (DEMO_KEEP=1 leaves all running).
	@hack/demo/run.sh

.PHONY: demo-clean
demo-clean: ## Remove what a kept or broken demo left.
	@hack/demo/clean.sh

.PHONY: demo-fleet
demo-fleet: ## Scale an Auto Scaling group from 2 to 6 to 3 in the middle of a release (DEMO_KEEP=1 leaves all running).
	@hack/demo-fleet/run.sh

.PHONY: demo-fleet-clean
demo-fleet-clean: ## Remove what a kept or broken fleet demo left.
	@hack/demo-fleet/clean.sh

.PHONY: test
test: setup controlplane engine test-images ## Run all tests on real parts, setting everything up first (needs root on Debian).
	@hack/test.sh all $(TEST_FLAGS)

##@ Develop

.PHONY: build
build: ## Compile bin/slipway.
	go build -ldflags "-s -w -X main.version=$(VERSION)" -o bin/slipway .

.PHONY: generate
generate: $(CONTROLLER_GEN) ## Generate deepcopy functions and apply configurations.
	$(CONTROLLER_GEN) object:headerFile=hack/boilerplate.go.txt applyconfiguration:headerFile=hack/boilerplate.go.txt paths=./api/...

.PHONY: manifests
manifests: $(CONTROLLER_GEN) ## Generate the CRDs.
	$(CONTROLLER_GEN) crd paths=./api/... output:crd:artifacts:config=config/crd/bases

.PHONY: api-docs
api-docs: $(CRD_REF_DOCS) ## Generate docs/api-reference.md.
	$(CRD_REF_DOCS) --source-path=./api/v1alpha1 --config=hack/api-docs.yaml --renderer=markdown --output-path=docs/api-reference.md --log-level=ERROR

.PHONY: verify-generated
verify-generated: ## Fail if generated files differ from what the sources give.
	@hack/verify-generated.sh

.PHONY: fmt
fmt: ## Format the Go code.
	gofmt -s -w $$(git ls-files '*.go')

.PHONY: lint
lint: $(GOLANGCI_LINT) ## Run the linters.
	$(GOLANGCI_LINT) run ./...

.PHONY: test-unit
test-unit: ## Run the tests that need neither root nor other programs (the others skip themselves).
	go test -short $(TEST_FLAGS) ./api/... ./internal/rollout/... ./internal/artifact/... ./internal/build/... ./internal/gitsource/... ./internal/sshca/... ./internal/discovery/... ./internal/delivery/... ./controllers/service/... ./controllers/release/...

.PHONY: test-e2e
test-e2e: setup controlplane engine test-images ## Run the tests of the whole job alone.
	@hack/test.sh e2e $(TEST_FLAGS)

.PHONY: laws
laws: ## Try the laws of rollouts on HISTORIES (1000000) random histories of each kind; takes hours.
	SLIPWAY_HISTORIES=$(HISTORIES) go test ./internal/rollout -run 'TestLaws' -timeout 24h -v

.PHONY: bench
bench: ## Run the benchmarks.
	go test -run '^$$' -bench . -benchmem $(GO_PACKAGES)

.PHONY: fuzz
fuzz: ## Run every fuzz test for FUZZTIME (10s).
	@for package in $$(go list ./...); do \
	  for name in $$(grep -hoE '^func Fuzz[A-Za-z0-9_]+' $$(go list -f '{{.Dir}}' $$package)/*_test.go 2>/dev/null | cut -d' ' -f2); do \
	    echo "fuzz: $$package $$name"; \
	    go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) $$package; \
	  done; \
	done

##@ Deploy

.PHONY: install
install: $(KUSTOMIZE) ## Apply the CRDs to the cluster of the current kubeconfig.
	$(KUSTOMIZE) build config/crd | kubectl apply --server-side -f -

.PHONY: deploy
deploy: $(KUSTOMIZE) ## Apply config/default to the cluster of the current kubeconfig.
	$(KUSTOMIZE) build config/default | kubectl apply --server-side -f -

.PHONY: docker-build
docker-build: ## Build the image of a cluster's processes (IMG).
	docker build --build-arg VERSION=$(VERSION) -t $(IMG) .

##@ Set-up

.PHONY: setup
setup: ## Install what is missing from Debian's packages.
	@hack/setup.sh test

.PHONY: controlplane
controlplane: ## Compile etcd, kube-apiserver, kube-controller-manager and kubectl, once (about 8 minutes).
	@hack/controlplane/build.sh >/dev/null

.PHONY: engine
engine: setup ## Make sure that a Docker Engine answers.
	@hack/docker.sh start

.PHONY: test-images
test-images: engine ## Make the images that the tests build in.
	@hack/images/build.sh busybox slipway

# Kept by version outside of the tree, so that a new clone compiles none of them again.
define go-tool
	@mkdir -p $(@D)
	@echo "installing $(notdir $@) $(notdir $(@D))" >&2
	@GOBIN=$(@D) go install $(1)
endef

$(CONTROLLER_GEN):
	$(call go-tool,sigs.k8s.io/controller-tools/cmd/controller-gen@$(CONTROLLER_TOOLS_VERSION))
$(CRD_REF_DOCS):
	$(call go-tool,github.com/elastic/crd-ref-docs@$(CRD_REF_DOCS_VERSION))
$(GOLANGCI_LINT):
	$(call go-tool,github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_LINT_VERSION))
$(KUSTOMIZE):
	$(call go-tool,sigs.k8s.io/kustomize/kustomize/v5@$(KUSTOMIZE_VERSION))
