"""How stages are run: the plan's digests, guards, scheduler, engines. The only place that knows DVC and git."""
