"""Keep pytest out of the root links, which would import every module twice."""

collect_ignore = ["envs", "agents", "theory"]
