-- bench_checkpoint
-- What the preload wrote mustn't be flushed on the clock.
CHECKPOINT
