-- feature: user_taste
-- entity: user
-- class: dynamic
-- window: 30d
-- description: What a user looks at: how varied it is, what it costs, how settled the taste is. Views and stronger signs only.
-- column user_items_30d: Different items that the user looked at.
-- column user_categories_30d: Different categories among them.
-- column user_top_category_share: Share of the category that was looked at most.
-- column user_mean_price: Mean price of what was looked at; items without a price do not count.
-- column user_max_price: Highest price among them.
-- column user_mean_order_price: Mean price of what was ordered; null without an order.
-- column user_repeat_share: Share of events on items that had been looked at before in the window.
SELECT user_id, as_of,
       count(*) AS user_items_30d,
       sum(is_new_category) AS user_categories_30d,
       CAST(max(in_category) AS DOUBLE) / sum(events) AS user_top_category_share,
       sum(price * events) / nullif(sum(CASE WHEN price IS NULL THEN 0 ELSE events END), 0)
           AS user_mean_price,
       max(price) AS user_max_price,
       sum(price * orders) / nullif(sum(CASE WHEN price IS NULL THEN 0 ELSE orders END), 0)
           AS user_mean_order_price,
       CAST(sum(events - 1) AS DOUBLE) / sum(events) AS user_repeat_share
FROM (
    SELECT user_id, as_of, category, price, events, orders,
           sum(events) OVER (PARTITION BY user_id, as_of, category) AS in_category,
           CASE WHEN category IS NOT NULL
                 AND row_number() OVER (PARTITION BY user_id, as_of, category) = 1
               THEN 1 ELSE 0 END AS is_new_category
    FROM (
        SELECT h.user_id, h.as_of, h.item_id, i.category, i.price, count(*) AS events,
               count(*) FILTER (WHERE h.kind = 'order') AS orders
        FROM history h LEFT JOIN items i ON i.item_id = h.item_id
        WHERE h.kind <> 'impression'
        GROUP BY h.user_id, h.as_of, h.item_id, i.category, i.price
    )
)
GROUP BY user_id, as_of
