"""A Ray cluster on this computer, in a process of its own: ``python -m … CLIENT_PORT``.

Ray reads whether it asks for a token when it is imported, so the tests cannot import it. Prints its
address, then does what each line says: ``add FOLDER`` another computer whose models are in there,
``kill`` the last one. At the end of the lines the cluster ends.
"""

from __future__ import annotations

import sys
from typing import Any

# Small enough for /dev/shm anywhere.
STORE = 80 * 2**20
# A computer that is lost is missed within a second, not a minute.
MISSED = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 300,
    "health_check_timeout_ms": 5000,
    "health_check_failure_threshold": 3,
}


def main() -> None:
    """Serve until the input ends."""
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    cluster.add_node(
        num_cpus=0,
        object_store_memory=STORE,
        include_dashboard=False,
        ray_client_server_port=int(sys.argv[1]),
        _system_config=MISSED,
    )
    print(cluster.address, flush=True)
    nodes: list[Any] = []
    try:
        for line in sys.stdin:
            match line.split():
                case ["add", folder]:
                    # With a card that it has not: the engine is on the CPU.
                    node = cluster.add_node(
                        wait=False,
                        num_cpus=1,
                        num_gpus=1,
                        object_store_memory=STORE,
                        env_vars={"MODELS_DIR": folder},
                    )
                    nodes.append(node)
                case ["kill"]:
                    cluster.remove_node(nodes.pop(), allow_graceful=False)
            print("done", flush=True)
    finally:
        cluster.shutdown()


if __name__ == "__main__":
    main()
