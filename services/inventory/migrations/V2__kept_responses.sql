-- Repeated adjustments are known by `kept_responses`, which every service has.
DROP TABLE adjustments;
