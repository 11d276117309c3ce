def tests(server, random): return []
