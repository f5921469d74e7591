-- Pages of orders by status and by dish: without these a filter that few orders pass walks the whole table for each page.
CREATE INDEX orders_status ON orders (status, number);
CREATE INDEX orders_dish ON orders (dish, number) WHERE dish IS NOT NULL;
