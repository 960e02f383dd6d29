#!/usr/bin/env python3
# ctest: timeout=60
"""A password guards both doors for clients, and stands in the way of neither replication nor of the node's end."""
import base64

from harness import Cluster, ClusterTestCase, main


def basic(pair: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}


class Password(ClusterTestCase):
    def test_rest_wants_it_as_resp_does(self) -> None:
        cluster = self.start_cluster(groups=1, followers=1)
        leader = cluster.leader()
        self.assertEqual(leader.http("GET", "/keys").status, 200)
        client = leader.resp()
        client.execute("CONFIG", "SET", "requirepass", "open: sesame")

        for headers in ({}, basic("default:open"), basic("default:open: sesame!"), basic("root:open: sesame"),
                        basic("open: sesame"), {"Authorization": "Basic ???"}, {"Authorization": "Basic"},
                        {"Authorization": "Bearer open"}, {"Authorization": "open: sesame"}):
            refused = leader.http("POST", "/set", {"key": "a", "value": "b"}, headers=headers)
            self.assertEqual(refused.status, 401, headers)
            self.assertIn("Basic", refused.headers["www-authenticate"])
            self.assertEqual(refused.json()["code"], "NOAUTH")

        for headers in (basic("default:open: sesame"), {"Authorization": "Bearer open: sesame"},
                        {"Authorization": "bEARER open: sesame"}):
            self.assertEqual(leader.http("POST", "/set", {"key": "a", "value": "b"}, headers=headers).status, 200)
        client.execute("CONFIG", "SET", "requirepass", "")
        self.assertEqual(leader.http("GET", "/keys").status, 200)
        cluster.wait_replicated()
        self.assertEqual(cluster.followers()[0].get("a"), "b")


if __name__ == "__main__":
    main()
