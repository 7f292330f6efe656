# What `workerd serve config.capnp` starts. worker.js and ocelli.wasm lie beside it once esbuild has bundled them (README).
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "main", worker = .ocelli),
    # Where fetch() may go: the weights' server is on this machine.
    (name = "internet", network = (allow = ["public", "private"], tlsOptions = (trustBrowserCas = true))),
  ],
  sockets = [(name = "http", address = "127.0.0.1:8080", http = (), service = "main")],
);

const ocelli :Workerd.Worker = (
  modules = [
    (name = "worker.js", esModule = embed "worker.js"),
    (name = "ocelli.wasm", wasm = embed "ocelli.wasm"),
  ],
  bindings = [
    (name = "MODEL", fromEnvironment = "MODEL"),
    # Null where they are not set.
    (name = "OCELLI_ENGINE", fromEnvironment = "OCELLI_ENGINE"),
    (name = "OCELLI_REMOTE_URL", fromEnvironment = "OCELLI_REMOTE_URL"),
    (name = "OCELLI_REMOTE_API_KEY", fromEnvironment = "OCELLI_REMOTE_API_KEY"),
    (name = "OCELLI_REMOTE_MODEL", fromEnvironment = "OCELLI_REMOTE_MODEL"),
  ],
  compatibilityDate = "2026-11-01",
);
